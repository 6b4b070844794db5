/** Takes passwords and one-time codes out of what a daemon says, whatever it repeats them for. */
import * as Redacted from "effect/Redacted"

const instead = "<redacted>"

/**
 * Shorter ones are in many words, and a message without these would tell nothing. They are taken out where they stand by
 * themselves only.
 */
const shortest = 4

const literal = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&")

/** As they may be repeated: in any case, because systems fold it, and in an address. */
const patternOf = (secret: string): RegExp => {
  const spellings = [...new Set([secret, encodeURIComponent(secret)])].map(literal).join("|")
  return secret.length < shortest
    ? new RegExp(`(?<![\\p{L}\\p{N}])(?:${spellings})(?![\\p{L}\\p{N}])`, "gu")
    : new RegExp(spellings, "giu")
}

/** `secrets`: none is empty. */
export const scrubber = (secrets: ReadonlyArray<Redacted.Redacted>): ((text: string) => string) => {
  // What contains another one comes first.
  const patterns = secrets
    .map(Redacted.value)
    .sort((a, b) => b.length - a.length)
    .map(patternOf)
  return (text) => patterns.reduce((scrubbed, pattern) => scrubbed.replace(pattern, instead), text)
}

/** Rows in which it was repeated. */
export const scrubRows = (
  rows: ReadonlyArray<Readonly<Record<string, unknown>>>,
  scrub: (text: string) => string
): ReadonlyArray<Readonly<Record<string, unknown>>> =>
  rows.map((row) =>
    Object.fromEntries(
      Object.entries(row).map(([name, value]) => [name, typeof value === "string" ? scrub(value) : value])
    )
  )
