/**
 * How objects whose fields are accessors are printed, and written as JSON: as these fields.
 */

const inspect = Symbol.for("nodejs.util.inspect.custom")

type Inspect = (value: unknown, options: unknown) => string

/** Has the instances of a class shown as these of their fields. */
export const showsAs = (constructor: abstract new (...args: never) => object, keys: ReadonlyArray<string>): void => {
  const plain = (object: object) => Object.fromEntries(keys.map((key) => [key, Reflect.get(object, key)]))
  Object.defineProperties(constructor.prototype, {
    toJSON: {
      value(this: object) {
        return plain(this)
      }
    },
    [inspect]: {
      value(this: object, _depth: number, options: unknown, show: Inspect) {
        return `${this.constructor.name} ${show(plain(this), options)}`
      }
    }
  })
}
