import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fromText } from './text.mjs'

/** How many bytes of a value are compared: those behind are compressed, and depend on the version of zlib. */
const comparedBytes = {
  'app:compressed:value': 3,
  // The head, the id of the key, the salt and the nonce.
  'app:encrypted-compressed:value': 4 + 2 + 16 + 12,
}

/**
 * The keys under which two versions store something else.
 *
 * @param {Record<string, unknown>} before
 * @param {Record<string, unknown>} after
 * @returns {string[]}
 */
export function changedKeys(before, after) {
  const all = new Set([...Object.keys(before), ...Object.keys(after)])
  // Of LMDB, the tables are compared, and not the pages of the file.
  const keys = [...all].filter((key) => key !== 'data.mdb').sort()
  return keys.filter((key) => comparedPart(key, before[key]) !== comparedPart(key, after[key]))
}

function comparedPart(key, value) {
  const length = comparedBytes[key]
  if (length === undefined || value === undefined) return JSON.stringify(value)
  return Buffer.from(fromText(value)).toString('hex', 0, length)
}

/**
 * The message for a layout that differs from the one of the latest release; `undefined` if nothing differs, or if a changeset
 * announces it.
 *
 * @param {string} name the name of the fixture
 * @param {string} version of the fixture
 * @param {string[]} keys see {@link changedKeys}
 * @param {string} changesets the folder
 */
export function layoutProblem(name, version, keys, changesets) {
  if (keys.length === 0 || isAnnounced(changesets)) return undefined
  return (
    `The layout of stored data (${name}) is not that of version ${version} any more:\n  ${keys.join('\n  ')}\n` +
    'While an application is deployed, processes of both versions read what the others write. If they can, and the change ' +
    'is intended, describe it in a changeset, in a paragraph that begins with "Stored data:". The next release then gets ' +
    'fixtures of its own: node scripts/write-fixtures.mjs test/upgrade/<version>.'
  )
}

function isAnnounced(changesets) {
  const files = readdirSync(changesets).filter((file) => file.endsWith('.md'))
  return files.some((file) => /^Stored data:/m.test(readFileSync(join(changesets, file), 'utf8')))
}
