/** Functions that read rows of certain columns, made for large results: literals of one hidden class, usual cells inline. */
import type { ReadRows, ScanPlan } from "./scan.js"
import { Unexpected } from "./scan.js"
import { dateOf } from "./values.js"

/** Functions kept, the least recently used out first. */
const maxKept = 64
/** Beyond this a generated function is too long for V8 to optimize. */
const maxColumns = 256

const kept = new Map<string, ReadRows>()
let allowed: boolean | undefined

/** False under `--disallow-code-generation-from-strings` (or a policy that says the same). */
const mayGenerate = (): boolean => {
  if (allowed === undefined) {
    try {
      allowed = new Function("return true")() === true
    } catch {
      allowed = false
    }
  }
  return allowed
}

/** Undefined where code must not be generated, or is not worth it. */
export const generated = (plan: ScanPlan): ReadRows | undefined => {
  if (plan.names.length > maxColumns || plan.names.length === 0 || !mayGenerate()) {
    return undefined
  }
  const { dates, decoders, integers, names, shape } = plan
  const key = JSON.stringify([
    shape,
    integers,
    dates,
    decoders.map((decoder) => decoder.kind),
    shape === "objects" && names
  ])
  const found = kept.get(key)
  if (found !== undefined) {
    kept.delete(key)
    kept.set(key, found)
    return found
  }
  const made = make(plan)
  kept.set(key, made)
  if (kept.size > maxKept) {
    kept.delete(kept.keys().next().value!)
  }
  return made
}

/**
 * The text of the function has nothing from outside but JSON strings of column names (computed for `__proto__`, which in a
 * literal would otherwise set the prototype). `i` is where the next character is, `c` that character, `q` the quote
 * of the next text with an escape; `s.cell(n)` lets the scanner read a cell.
 */
const make = ({ dates, decoders, integers, names, shape }: ScanPlan): ReadRows => {
  const fields = decoders.map((_, n) => {
    const name = JSON.stringify(names[n])
    return shape === "arrays" ? `v${n}` : `${names[n] === "__proto__" ? `[${name}]` : name}:v${n}`
  })
  const last = decoders.length - 1
  const cells = decoders.map(
    (decoder, n) => `let v${n};c=t.charCodeAt(i)
${cell(decoder.kind, n, integers, dates)}
if(t.charCodeAt(i)!==${n < last ? 44 : 93})throw new Unexpected();i++`
  )
  const body = `"use strict"
return function(s,out){
const t=s.text;let i=s.at,q=s.quote,c=0,j=0
for(;;){s.row=i
if(t.charCodeAt(i)!==91)throw new Unexpected();i++
${cells.join("\n")}
c=t.charCodeAt(i)
if(c!==44&&c!==93)throw new Unexpected()
out.push(${shape === "arrays" ? `[${fields.join(",")}]` : `{${fields.join(",")}}`})
if(c===93)return
i++
}}`
  const parameters = ["Unexpected", "dateOf", "bigint"]
  return (new Function(...parameters, body) as (...values: ReadonlyArray<unknown>) => ReadRows)(
    Unexpected,
    dateOf,
    bigint
  )
}

const cell = (kind: string, n: number, integers: string, dates: string): string => {
  const other = `{s.at=i;v${n}=s.cell(${n});i=s.at;q=s.quote}`
  const orNull = `else if(c===110){v${n}=null;i+=4}else${other}`
  const text = (value: (text: string) => string) =>
    `if(c===34){if(i===q){s.at=i;v${n}=${value("s.string()")};i=s.at;q=s.quote}
else{j=t.indexOf('"',i+1);if(j<0)throw new Unexpected();v${n}=${value("t.slice(i+1,j)")};i=j+1}}${orNull}`
  const digits = "for(;c>=48&&c<=57;c=t.charCodeAt(++j))x=x*10+(c-48)"
  // Digit by digit is faster than any parser, and exact as long as the number is a safe one: rounding keeps the order.
  const whole = (value: string, beyond: string) =>
    `if(c>=48&&c<=57||c===45){j=i;let x=0;const neg=c===45;if(neg)c=t.charCodeAt(++j);${digits}
if((c===44||c===93)&&x<=${Number.MAX_SAFE_INTEGER}){v${n}=${value};i=j}else${beyond}}${orNull}`
  const token = "c>=48&&c<=57||c===46||c===45"
  switch (kind) {
    case "integer":
      return integers === "bigint" ? whole("neg?-bigint(x):bigint(x)", other) : whole("neg?0-x:x", other)
    case "double":
      return whole("neg?-x:x", `{for(;${token}||c===69||c===101||c===43;)c=t.charCodeAt(++j);v${n}=+t.slice(i,j);i=j}`)
    case "exact":
      return `if(c>=48&&c<=57||c===45){j=i+1;c=t.charCodeAt(j);while(${token})c=t.charCodeAt(++j)
if(c===44||c===93){v${n}=t.slice(i,j);i=j}else${other}}${orNull}`
    case "text":
    case "time":
      return text((value) => value)
    case "date":
    case "timestamp":
      return text((value) => (dates === "date" ? `dateOf(${value})` : value))
    default:
      return `if(c===110){v${n}=null;i+=4}else${other}`
  }
}

const halves = new Uint32Array(2)
const joined = new BigInt64Array(halves.buffer)
const low = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1 ? 0 : 1

/** Of a safe integer, not negative. `BigInt(x)` is a call out of the compiled code, this is not. */
const bigint = (x: number): bigint => {
  halves[low] = x
  halves[1 - low] = x / 4294967296
  return joined[0]!
}
