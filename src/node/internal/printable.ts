/** For a log: one line of characters that print, what lies between them being a separator. */
export const printable = (text: string, separator: string): string =>
  text.replaceAll(/[^\x20-\x7e]+/g, separator).trim()
