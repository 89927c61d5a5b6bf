/**
 * To be given to Node by `--import`: appends the address of each module that the process loads to the file that `MODULE_LOG` names.
 */
import { appendFileSync } from "node:fs"
import { registerHooks } from "node:module"

const file = process.env["MODULE_LOG"]!

registerHooks({
  load: (url, context, nextLoad) => {
    appendFileSync(file, `${url}\n`)
    return nextLoad(url, context)
  }
})
