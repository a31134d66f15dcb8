import { readdirSync } from 'node:fs'
import { basename } from 'node:path'

const folder = new URL('../groups/', import.meta.url)

/** A group is a file in groups/, known by its name. */
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
