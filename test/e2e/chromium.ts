/**
 * A real browser: Debian's Chromium without a window, in a profile of its own.
 */
import { type Browser, chromium } from "playwright-core"

/** Starts it, with flags of its own. */
export const launch = (...flags: ReadonlyArray<string>): Promise<Browser> =>
  chromium.launch({
    executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      ...flags
    ]
  })
