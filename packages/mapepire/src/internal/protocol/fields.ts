/** What fields of requests and of responses have in common. */
import * as Schema from "effect/Schema"

/** Absent and null mean the same everywhere in this protocol. */
export const maybe = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, { nullable: true })

export const Id = Schema.Union(
  Schema.String,
  Schema.transform(Schema.Number, Schema.String, { decode: String, encode: Number, strict: true })
)
