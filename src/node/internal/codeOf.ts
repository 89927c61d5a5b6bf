/** Why the system refused, by its own name for it (`ENOENT`), or what was thrown instead. */
export const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause ? String(cause.code) : String(cause)
