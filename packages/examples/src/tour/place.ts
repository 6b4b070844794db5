/** Where the tour takes place: what a layer tells of its database, beside the client. */
import { Context } from "effect"

export interface Place {
  readonly name: string
  /** What the title says of it. */
  readonly facts: ReadonlyArray<string>
  /** Who shares it, as the last chapter says. */
  readonly sharing: string
  /** A statement can be stopped only when it has a row to give. */
  readonly stopsBetweenRows: boolean
}

export const Place = Context.GenericTag<Place>("tour/Place")
