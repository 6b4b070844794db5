const capitals = /[A-Z]+/g

/** A name as SQLite compares it: of ASCII's letters the case does not count, of others it does. */
export const folded = (name: string): string => name.replace(capitals, (letters) => letters.toLowerCase())
