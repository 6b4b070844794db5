/** VARCHAR_FORMAT and TIMESTAMP_FORMAT: dates by a format that stands in the text. */
import * as failures from "./failures.js"
import { raise } from "./raise.js"

const elements = /YYYY|MM|DDD|DD|HH24|MI|SS|FF6|NNNNNN|[-./,:; ]/gy
/** By element: SQLite's own, and how long it is. */
const known: Readonly<Record<string, readonly [format: string, length: number]>> = {
  YYYY: ["%Y", 4],
  MM: ["%m", 2],
  DDD: ["%j", 3],
  DD: ["%d", 2],
  HH24: ["%H", 2],
  MI: ["%M", 2],
  SS: ["%S", 2],
  FF6: ["", 6],
  NNNNNN: ["", 6]
}

const read = (format: string, name: string): ReadonlyArray<string> => {
  const parts = format.toUpperCase().match(elements) ?? []
  if (parts.join("") !== format.toUpperCase() || parts.length === 0) {
    throw new failures.Refused(failures.unsupported(`the format '${format}' of ${name}`))
  }
  return parts
}

const fraction = "substr(substr($1, 21) || '000000', 1, 6)"

/** From a date to a text. */
export const formatted = (format: string, name: string): string => {
  const groups: Array<string> = []
  let group = ""
  for (const part of read(format, name)) {
    if (part === "FF6" || part === "NNNNNN") {
      groups.push(group, fraction)
      group = ""
    } else {
      group += known[part]?.[0] ?? part
    }
  }
  return [...groups, group]
    .filter((part) => part !== "")
    .map((part) =>
      part === fraction
        ? part
        : `coalesce(strftime('${part}', $1), CASE WHEN $1 IS NOT NULL THEN ${raise("SYNTAX")} END)`
    )
    .join(" || ")
}

/** From a text to a timestamp. Each part has its place, so all digits must be there. */
export const parsed = (format: string, name: string): string => {
  const places = new Map<string, string>()
  let at = 1
  for (const part of read(format, name)) {
    const length = known[part]?.[1] ?? 1
    places.set(part === "NNNNNN" ? "FF6" : part, `substr($1, ${at}, ${length})`)
    at += length
  }
  const get = (part: string, otherwise: string): string => places.get(part) ?? otherwise
  if (!["YYYY", "MM", "DD"].every((part) => places.has(part)) || places.has("DDD")) {
    throw new failures.Refused(failures.unsupported(`the format '${format}' of ${name}`))
  }
  const day = `${get("YYYY", "")} || '-' || ${get("MM", "")} || '-' || ${get("DD", "")}`
  const clock = `${get("HH24", "'00'")} || ':' || ${get("MI", "'00'")} || ':' || ${get("SS", "'00'")}`
  return (
    `CASE WHEN $1 IS NULL THEN NULL WHEN length(rtrim($1)) = ${at - 1} ` +
    `AND datetime(${day} || ' ' || ${clock}) IS ${day} || ' ' || ${clock} ` +
    `THEN ${day} || ' ' || ${clock} || '.' || ${get("FF6", "'000000'")} ELSE ${raise("FORMAT")} END`
  )
}
