/** Dates and times as the connection's properties want them; in the database they are ISO texts. */
import type { Properties } from "./properties.js"

const two = (value: number): string => String(value).padStart(2, "0")

const separator = (name: string | undefined, otherwise: string): string =>
  name === undefined ? otherwise : name === "b" ? " " : name

/** Days of the year, for `julian`. */
const dayOfYear = (year: number, month: number, day: number): number =>
  Math.round((Date.UTC(year, month - 1, day) - Date.UTC(year, 0, 1)) / 86_400_000) + 1

/** Formats whose year has two digits know these years only. */
const shortYear = (year: number): string => (year >= 1940 && year <= 2039 ? two(year % 100) : "++")

/** `YYYY-MM-DD` in the format of the connection; anything else stays as it is. */
export const formatDate = (text: string, { date, dateSeparator }: Properties): string => {
  const match = /^(\d{4})-(\d\d)-(\d\d)/.exec(text)
  if (match === null) {
    return text
  }
  const [, y, m, d] = match as unknown as [string, string, string, string]
  const short = shortYear(Number(y))
  const at = separator(dateSeparator, "/")
  switch (date) {
    case "mdy":
      return [m, d, short].join(at)
    case "dmy":
      return [d, m, short].join(at)
    case "ymd":
      return [short, m, d].join(at)
    case "usa":
      return `${m}/${d}/${y}`
    case "eur":
      return `${d}.${m}.${y}`
    case "julian":
      return `${short}${at}${String(dayOfYear(Number(y), Number(m), Number(d))).padStart(3, "0")}`
    default:
      return `${y}-${m}-${d}`
  }
}

const century = (short: string): string => (Number(short) >= 40 ? "19" : "20") + short

/** `24/167`. */
const fromDayOfYear = (year: string, day: string): string | undefined => {
  if (!/^(?:\d{2}|\d{4})$/.test(year) || !/^\d{3}$/.test(day)) {
    return undefined
  }
  const full = year.length === 2 ? century(year) : year
  const real = new Date(Date.UTC(2000, 0, 1))
  real.setUTCFullYear(Number(full), 0, Number(day))
  return real.getUTCFullYear() === Number(full)
    ? `${full}-${two(real.getUTCMonth() + 1)}-${two(real.getUTCDate())}`
    : undefined
}

/** A date in the connection's format, or in ISO's, as `YYYY-MM-DD`; undefined if it is none. */
export const parseDate = (text: string, { date }: Properties): string | undefined => {
  const parts = text.trim().split(/[-/., ]/)
  const [a, b, c] = parts
  if (date === "julian" && parts.length === 2) {
    return fromDayOfYear(a!, b!)
  }
  if (parts.length !== 3 || parts.some((part) => !/^\d+$/.test(part))) {
    return undefined
  }
  const four = (y: string, m: string, d: string): string | undefined => {
    const year = y.length === 2 ? century(y) : y
    const real = new Date(Date.UTC(2000, Number(m) - 1, Number(d)))
    real.setUTCFullYear(Number(year))
    return year.length === 4 && real.getUTCMonth() === Number(m) - 1 && real.getUTCDate() === Number(d)
      ? `${year}-${m.padStart(2, "0")}-${d.padStart(2, "0")}`
      : undefined
  }
  if (a!.length === 4) {
    return four(a!, b!, c!)
  }
  switch (date) {
    case "mdy":
    case "usa":
      return four(c!, a!, b!)
    case "dmy":
    case "eur":
      return four(c!, b!, a!)
    case "ymd":
      return four(a!, b!, c!)
    default:
      return undefined
  }
}

/** `HH:MM:SS` in the format of the connection. */
export const formatTime = (text: string, { time, timeSeparator }: Properties): string => {
  const match = /^(\d\d)[:.](\d\d)[:.](\d\d)/.exec(text)
  if (match === null) {
    return text
  }
  const [, h, m, s] = match as unknown as [string, string, string, string]
  switch (time) {
    case "iso":
    case "eur":
      return `${h}.${m}.${s}`
    case "usa": {
      const hour = Number(h) % 24
      return `${two(hour % 12 === 0 ? 12 : hour % 12)}:${m} ${hour < 12 ? "AM" : "PM"}`
    }
    case "hms":
      return [h, m, s].join(separator(timeSeparator, ":"))
    default:
      return `${h}:${m}:${s}`
  }
}

export const parseTime = (text: string): string | undefined => {
  const match = /^\s*(\d{1,2})[:.,](\d\d)(?:[:.,](\d\d))?\s*(AM|PM)?\s*$/i.exec(text)
  if (match === null) {
    return undefined
  }
  const half = match[4]?.toUpperCase()
  const hour = half === undefined ? Number(match[1]) : (Number(match[1]) % 12) + (half === "PM" ? 12 : 0)
  const minute = Number(match[2])
  const second = Number(match[3] ?? 0)
  return hour > 24 || minute > 59 || second > 59 || (hour === 24 && minute + second > 0)
    ? undefined
    : [hour, minute, second].map(two).join(":")
}

const timestamp = /^\s*(\d{4}-\d\d-\d\d)(?:[ T-](\d\d)[:.](\d\d)(?:[:.](\d\d)(?:\.(\d{0,12}))?)?)?\s*$/

/** With as many digits of a second as the type has. */
export const formatTimestamp = (text: string, digits: number, { timestampFormat }: Properties): string => {
  const match = timestamp.exec(text)
  if (match === null) {
    return text
  }
  const [, day, h = "00", m = "00", s = "00", fraction = ""] = match
  const ibm = timestampFormat === "ibmsql"
  const clock = ibm ? `${h}.${m}.${s}` : `${h}:${m}:${s}`
  return `${day!}${ibm ? "-" : " "}${clock}${digits === 0 ? "" : "." + fraction.padEnd(digits, "0").slice(0, digits)}`
}

/** Db2 takes a blank, a T or a dash in the middle, and no time zone. */
export const parseTimestamp = (text: string, digits: number): string | undefined =>
  timestamp.test(text) ? formatTimestamp(text, digits, {} as Properties) : undefined
