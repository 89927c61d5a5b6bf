/** Why a certificate was revoked (RFC 5280 section 5.3.1). */
const reasons = [
  "unspecified",
  "keyCompromise",
  "cACompromise",
  "affiliationChanged",
  "superseded",
  "cessationOfOperation",
  "certificateHold",
  "unspecified",
  "removeFromCRL",
  "privilegeWithdrawn",
  "aACompromise"
] as const

export type Reason = (typeof reasons)[number]

export const reasonOf = (code: number): Reason => reasons[code] ?? "unspecified"
