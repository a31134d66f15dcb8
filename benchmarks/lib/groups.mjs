import { readdirSync } from 'node:fs'
import { basename } from 'node:path'

const folder = new URL('../groups/', import.meta.url)

/** Each file in groups/ is a group with the name of the file. */
export function groupNames() {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.mjs'))
    .map((file) => basename(file, '.mjs'))
    .sort()
}

export async function loadGroup(name) {
  const { default: group } = await import(new URL(`${name}.mjs`, folder))
  return { name, peers: {}, ...group }
}
