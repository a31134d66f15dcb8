export const tableNameRule =
  'the name of a table, or schema.table: letters, digits and "_", at most 63, beginning with a letter'

const name = /^[A-Za-z_]\w{0,62}$/

/** Whether a text needs no escape in a quoted name. */
export function isIdentifier(text: unknown): text is string {
  return typeof text === 'string' && name.test(text)
}

export function isTableName(text: unknown): text is string {
  if (typeof text !== 'string') return false
  const parts = text.split('.')
  return parts.length <= 2 && parts.every(isIdentifier)
}

/** For statements. */
export function quoted(table: string): string {
  return table
    .split('.')
    .map((part) => `"${part}"`)
    .join('.')
}
