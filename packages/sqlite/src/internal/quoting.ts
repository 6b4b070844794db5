/** Names and texts as SQL writes them. */

/** A name, which may have any characters, for an identifier. */
export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** A text as a literal. */
export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`
