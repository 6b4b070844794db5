/** Decimal numbers as texts, without a double in between. */

const pattern = /^\s*([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?\s*$/

/** A number's text with exactly `scale` digits after the point, further ones cut off; undefined if it is no number. */
export const withScale = (text: string, scale: number): string | undefined => {
  const match = pattern.exec(text)
  const whole = match?.[2] ?? ""
  const fraction = match?.[3] ?? ""
  const exponent = Number(match?.[4] ?? 0)
  if (match === null || whole + fraction === "" || Math.abs(exponent) > 400) {
    return undefined
  }
  const point = whole.length + exponent
  const digits = point < 0 ? "0".repeat(-point) + whole + fraction : whole + fraction
  const at = Math.max(0, point)
  const before =
    digits
      .slice(0, at)
      .padEnd(at, "0")
      .replace(/^0+(?=\d)/, "") || "0"
  const after = digits.slice(at).padEnd(scale, "0").slice(0, scale)
  const sign = match[1] === "-" && /[1-9]/.test(before + after) ? "-" : ""
  return sign + before + (scale === 0 ? "" : "." + after)
}

/** Digits before the point. */
export const wholeDigits = (text: string): number => /^-?0*(\d*)/.exec(text)![1]!.length
