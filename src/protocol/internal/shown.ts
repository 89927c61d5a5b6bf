/**
 * A value that came, as a reason tells it.
 */

/** Short, and as text that cannot break a line. */
export const quoted = (value: string): string => JSON.stringify(value.length > 64 ? `${value.slice(0, 64)}…` : value)

/** Shows a header's value in a reason: short, and as text that cannot break a line. */
export const shown = (value: string | undefined): string =>
  value === undefined ? "none came" : `${quoted(value)} came`
