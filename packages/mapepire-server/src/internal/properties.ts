/** The JDBC properties of a connection, as far as they mean something here. Unknown ones are ignored, as the driver does. */

export interface Properties {
  readonly autoCommit: boolean
  /** Under commitment control: with `none` COMMIT and ROLLBACK have nothing to do. */
  readonly isolated: boolean
  readonly readOnly: boolean
  readonly schema: string | undefined
  readonly date: string
  readonly dateSeparator: string | undefined
  readonly time: string
  readonly timeSeparator: string | undefined
  readonly timestampFormat: string | undefined
}

/** `name=value;name=value`; names in any case. */
export const parseProperties = (text: string): Properties => {
  const given = new Map<string, string>()
  for (const part of text.split(";")) {
    const at = part.indexOf("=")
    if (at > 0) {
      given.set(part.slice(0, at).trim().toLowerCase(), part.slice(at + 1).trim())
    }
  }
  const lower = (name: string): string | undefined => given.get(name)?.toLowerCase()
  const schema = given
    .get("libraries")
    ?.split(/[\s,]+/)
    .find((name) => name !== "" && name !== "*LIBL")
  return {
    autoCommit: lower("auto commit") !== "false",
    isolated: lower("transaction isolation") !== "none",
    readOnly: lower("access") === "read only" || lower("access") === "read call",
    schema: lower("naming") === "system" ? undefined : schema?.toUpperCase(),
    date: lower("date format") ?? "iso",
    dateSeparator: given.get("date separator"),
    time: lower("time format") ?? "jis",
    timeSeparator: given.get("time separator"),
    timestampFormat: lower("timestamp format")
  }
}
