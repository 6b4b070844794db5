/**
 * Templates whose arguments are all parameters: their text is the same in each run, so it is compiled once, and their
 * segments are only made for whoever asks.
 */
import type * as Statement from "@effect/sql/Statement"
import { operationOf } from "./operation.js"

/** What is known of a template, once. */
export interface Compiled {
  readonly text: string
  /** See `Operation.name`. */
  readonly operation: string
}

/** Neither a fragment nor a helper, which are objects of other kinds. */
const isParameter = (value: unknown): boolean => {
  switch (typeof value) {
    case "object":
      return value === null || value instanceof Date || ArrayBuffer.isView(value)
    case "function":
      return false
    default:
      return true
  }
}

/** Of one compiler; by the identity of the strings, which JavaScript keeps for each place in a program. */
export class Templates {
  private readonly known = new WeakMap<TemplateStringsArray, Compiled>()
  private readonly fixed: boolean

  constructor(
    private readonly compiler: Statement.Compiler,
    private readonly build: (strings: TemplateStringsArray, args: ReadonlyArray<unknown>) => Statement.Fragment
  ) {
    // Others' placeholders may depend on the values.
    this.fixed = compiler.dialect === "sqlite"
  }

  /** Undefined: the text depends on the arguments. */
  compiled(strings: TemplateStringsArray, args: ReadonlyArray<unknown>): Compiled | undefined {
    if (!this.fixed) {
      return undefined
    }
    for (let i = 0; i < args.length; i++) {
      if (!isParameter(args[i])) {
        return undefined
      }
    }
    let compiled = this.known.get(strings)
    if (compiled === undefined) {
      const [text] = this.compiler.compile(this.build(strings, args), false)
      compiled = { text, operation: operationOf(text).name }
      this.known.set(strings, compiled)
    }
    return compiled
  }

  segments(strings: TemplateStringsArray, args: ReadonlyArray<unknown>): ReadonlyArray<Statement.Segment> {
    return this.build(strings, args).segments
  }
}

/** One use of a template. */
export class Template {
  constructor(
    private readonly templates: Templates,
    readonly compiled: Compiled,
    private readonly strings: TemplateStringsArray,
    readonly params: ReadonlyArray<unknown>
  ) {}

  get segments(): ReadonlyArray<Statement.Segment> {
    return this.templates.segments(this.strings, this.params)
  }
}
