/** What fields of requests and of responses have in common. */
import * as Schema from "effect/Schema"

/** Absent and null mean the same everywhere in this protocol. */
export const maybe = <S extends Schema.Schema.AnyNoContext>(schema: S): Maybe<S> =>
  Schema.optionalWith(schema, { nullable: true })

/** A name of its own: else declarations spell it out for each field. */
export interface Maybe<S extends Schema.Schema.AnyNoContext> extends Schema.optionalWith<S, { nullable: true }> {}

export const Id = Schema.Union(
  Schema.String,
  Schema.transform(Schema.Number, Schema.String, { decode: String, encode: Number, strict: true })
)
