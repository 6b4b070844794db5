/** The JDBC properties of a connection, as far as they mean something here. Unknown ones are ignored, as the driver does. */
import { Protocol } from "@sluice/mapepire"

type JdbcName = Exclude<keyof Protocol.JdbcOptions, "raw">

export interface Properties {
  readonly autoCommit: boolean
  /** Under commitment control: with `none` COMMIT and ROLLBACK have nothing to do. */
  readonly isolated: boolean
  readonly readOnly: boolean
  /** Results stay open when a unit of work is committed. */
  readonly cursorHold: boolean
  readonly schema: string | undefined
  /** All that `libraries` names. */
  readonly libraries: ReadonlyArray<string>
  readonly date: string
  readonly dateSeparator: string | undefined
  readonly time: string
  readonly timeSeparator: string | undefined
  readonly timestampFormat: string | undefined
}

/** `name=value;name=value`, by the names of the one table that the client writes them from. */
export const parseProperties = (text: string): Properties => {
  const given = Protocol.parseJdbc(text)
  const get = (name: JdbcName): string | undefined => given.get(name)
  const lower = (name: JdbcName): string | undefined => get(name)?.toLowerCase()
  const libraries = (get("libraries") ?? "")
    .toUpperCase()
    .split(/[\s,]+/)
    .filter((name) => name !== "" && name !== "*LIBL")
  return {
    autoCommit: lower("auto commit") !== "false",
    isolated: lower("transaction isolation") !== "none",
    readOnly: lower("access") === "read only" || lower("access") === "read call",
    cursorHold: lower("cursor hold") !== "false",
    schema: lower("naming") === "system" ? undefined : libraries[0],
    libraries,
    date: lower("date format") ?? "iso",
    dateSeparator: lower("date separator"),
    time: lower("time format") ?? "jis",
    timeSeparator: lower("time separator"),
    timestampFormat: lower("timestamp format")
  }
}
