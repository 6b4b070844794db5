/**
 * The decoder of pages (see page.ts) into rows, on the event loop's side.
 *
 * Rows of a statement have few different layouts ("signatures": kind and flags of each column). For a layout that comes
 * again, or comes with many rows, a function is generated that makes its rows as literals of one hidden class; before
 * that, and where code generation is forbidden, columns are read one by one (decodeColumn.ts). Both are exact twins.
 *
 * A text column is decoded in one piece and cut with `slice`, which in V8 keeps the piece alive as long as one cut of 13
 * or more characters lives. Pages are cut at 256 KiB, so one kept value can hold on to that much and no more; a row with
 * large values comes on a page of its own.
 */
import { type Cells, cells, decodeColumn, type Integers } from "./decodeColumn.js"
import { ColumnFlag, Header, headerBytes, Kind } from "./page.js"
import { columnKind, columnFlags, type PageSource } from "./pageSource.js"

export { UnsafeIntegerError, type Integers } from "./decodeColumn.js"
export * from "./pageSource.js"

export type Shape = "objects" | "arrays"

export interface Decoder {
  /** The rows of the page at `base`. Throws `UnsafeIntegerError` (only with integers "number"). */
  readonly decode: (source: PageSource, base: number, shape: Shape, integers: Integers) => Array<unknown>
}

/** A decoder for the pages of one statement, as long as it has these columns. */
export const makeDecoder = (columns: ReadonlyArray<{ readonly name: string }>): Decoder => {
  const names = columns.map((column) => column.name)
  const modes: Array<Mode | undefined> = [undefined, undefined, undefined, undefined]
  return {
    decode: (source, base, shape, integers) => {
      const which = (shape === "objects" ? 0 : 1) + (integers === "number" ? 0 : 2)
      const mode = (modes[which] ??= new Mode(names, shape, integers))
      return mode.decode(source, base)
    }
  }
}

type Factory = (source: PageSource, base: number, rows: number) => Array<unknown>

interface Plan {
  readonly words: Int32Array
  uses: number
  factory: Factory | undefined
}

/** When a layout is worth a generated function (some 50 µs). */
const usesBeforeGenerating = 3
const rowsBeforeGenerating = 64
/** Statements with more layouts than this (many nullable columns, one row a page) stay with the interpreter for the rest. */
const maxPlans = 16
/** Beyond this a generated function is too long for V8 to optimize. */
const maxGeneratedColumns = 256

const firstDescriptor = headerBytes / 4

/** What a decoder knows for one shape and one way with integers. */
class Mode {
  private readonly names: ReadonlyArray<string>
  private readonly shape: Shape
  private readonly integers: Integers
  /** The latest used first. */
  private readonly plans: Array<Plan> = []

  constructor(names: ReadonlyArray<string>, shape: Shape, integers: Integers) {
    this.names = names
    this.shape = shape
    this.integers = integers
  }

  decode(source: PageSource, base: number): Array<unknown> {
    const word = base >> 2
    const rows = source.u32[word + Header.rows]!
    if (rows === 0) return []
    if (source.u32[word + Header.columns] !== this.names.length) {
      throw new Error(`A page of ${source.u32[word + Header.columns]} columns, expected ${this.names.length}`)
    }
    const plan = this.plan(source.i32, word + firstDescriptor)
    if (plan !== undefined) {
      if (plan.factory !== undefined) return plan.factory(source, base, rows)
      plan.uses++
      if ((plan.uses > usesBeforeGenerating || rows > rowsBeforeGenerating) && mayGenerate()) {
        plan.factory = generate(this.names, plan.words, this.shape, this.integers)
        return plan.factory(source, base, rows)
      }
    }
    return interpret(this.names, this.shape, this.integers, source, base, rows)
  }

  private plan(i32: Int32Array, descriptor: number): Plan | undefined {
    const plans = this.plans
    for (let p = 0; p < plans.length; p++) {
      const plan = plans[p]!
      if (!matches(plan.words, i32, descriptor)) continue
      if (p > 0) {
        plans[p] = plans[p - 1]!
        plans[p - 1] = plan
      }
      return plan
    }
    if (plans.length === maxPlans || this.names.length > maxGeneratedColumns) return undefined
    const words = new Int32Array(this.names.length)
    for (let i = 0; i < words.length; i++) words[i] = i32[descriptor + i * 4]!
    const plan = { words, uses: 0, factory: undefined }
    plans.push(plan)
    return plan
  }
}

const matches = (words: Int32Array, i32: Int32Array, descriptor: number): boolean => {
  for (let i = 0; i < words.length; i++) {
    if (words[i] !== i32[descriptor + i * 4]) return false
  }
  return true
}

let generation: boolean | undefined

/** False under `--disallow-code-generation-from-strings` (or a policy that says the same). */
const mayGenerate = (): boolean => {
  if (generation === undefined) {
    try {
      generation = new Function("return true")() === true
    } catch {
      generation = false
    }
  }
  return generation
}

const interpret = (
  names: ReadonlyArray<string>,
  shape: Shape,
  integers: Integers,
  source: PageSource,
  base: number,
  rows: number
): Array<unknown> => {
  const out: Array<unknown> = new Array(rows)
  const objects = shape === "objects"
  for (let r = 0; r < rows; r++) out[r] = objects ? {} : new Array(names.length)
  for (let i = 0; i < names.length; i++) {
    const name = names[i]!
    const values = decodeColumn(source, base, i, rows, integers, name)
    if (!objects) {
      for (let r = 0; r < rows; r++) (out[r] as Array<unknown>)[i] = values[r]
    } else if (name === "__proto__") {
      // Assigning it would set the row's prototype.
      for (let r = 0; r < rows; r++) {
        Object.defineProperty(out[r], name, { value: values[r], writable: true, enumerable: true, configurable: true })
      }
    } else {
      for (let r = 0; r < rows; r++) (out[r] as Record<string, unknown>)[name] = values[r]
    }
  }
  return out
}

/**
 * The function for one layout. Its text has no names and values from outside but JSON strings of column names (computed
 * for `__proto__`, which in a literal would otherwise set the prototype).
 */
const generate = (names: ReadonlyArray<string>, words: Int32Array, shape: Shape, integers: Integers): Factory => {
  const before: Array<string> = []
  const atRow: Array<string> = []
  const afterRow: Array<string> = []
  const fields: Array<string> = []
  for (let i = 0; i < words.length; i++) {
    const kind = columnKind(words[i]!)
    const flags = columnFlags(words[i]!)
    const nulls = (flags & ColumnFlag.hasNulls) !== 0
    const name = JSON.stringify(names[i])
    const d = `h+${firstDescriptor + i * 4}`
    let value: string
    switch (kind) {
      case Kind.null:
        value = "null"
        break
      case Kind.int32:
        before.push(`const d${i}=base+u32[${d}+1],a${i}=d${i}>>2;`)
        if (nulls) before.push(`const z${i}=d${i}+rows*4;`)
        value = integers === "number" ? `i32[a${i}+r]` : `BigInt(i32[a${i}+r])`
        break
      case Kind.float64:
      case Kind.int53:
      case Kind.int64:
        before.push(`const d${i}=base+u32[${d}+1],a${i}=d${i}>>3;`)
        if (nulls) before.push(`const z${i}=d${i}+rows*8;`)
        if (kind === Kind.int64) {
          value = integers === "bigint" ? `i64[a${i}+r]` : `cells.safe(i64[a${i}+r],${name},r)`
        } else {
          value = kind === Kind.int53 && integers === "bigint" ? `BigInt(f64[a${i}+r])` : `f64[a${i}+r]`
        }
        break
      case Kind.text:
      case Kind.blob: {
        before.push(`const a${i}=base+u32[${d}+1]>>2,x${i}=base+u32[${d}+2],l${i}=u32[${d}+3];let p${i}=0,e${i}=0;`)
        if (nulls) before.push(`const z${i}=x${i}+l${i};`)
        atRow.push(`e${i}=u32[a${i}+r];`)
        afterRow.push(`p${i}=e${i};`)
        if (kind === Kind.blob) value = `cells.blob(s,x${i}+p${i},x${i}+e${i})`
        else if (flags & ColumnFlag.badUtf8) value = `text.utf8Slice(x${i}+p${i},x${i}+e${i})`
        else {
          const slice = flags & ColumnFlag.ascii ? "latin1Slice" : "utf8Slice"
          before.push(`const t${i}=text.${slice}(x${i},x${i}+l${i});`)
          value = `t${i}.slice(p${i},e${i})`
        }
        break
      }
      default:
        before.push(`const m${i}=cells.mixed(s,base,${i},rows,${JSON.stringify(integers)},${name});`)
        value = `m${i}[r]`
    }
    if (nulls && kind !== Kind.null && kind !== Kind.mixed) value = `u8[z${i}+r]===5?null:${value}`
    fields.push(shape === "arrays" ? value : `${names[i] === "__proto__" ? `[${name}]` : name}:${value}`)
  }
  const row = shape === "arrays" ? `[${fields.join(",")}]` : `{${fields.join(",")}}`
  const body = `"use strict"
return function(s,base,rows){const u8=s.bytes,i32=s.i32,u32=s.u32,f64=s.f64,i64=s.i64,text=s.text,h=base>>2
${before.join("")}
const out=[]
for(let r=0;r<rows;r++){${atRow.join("")}out.push(${row});${afterRow.join("")}}
return out}`
  return (new Function("cells", body) as (use: Cells) => Factory)(cells)
}
