import { closeSync, openSync, readSync } from 'node:fs'
import { endianness } from 'node:os'
import { CacheError } from '@stowage/core'
import { DamageError } from '../lmdb-errors.ts'

/** MDB_MAGIC, the offset of the meta data in a page, and the version of the format that lmdb 3 writes. */
const magic = 0xbeefc0de
const headerBytes = 24
const version = 2
const pageBytes = 4_096
const isLittleEndian = endianness() === 'LE'

/**
 * Checks the two meta pages at the start of a file, because the library ends the process if it opens a file that is not an
 * LMDB file.
 *
 * @throws DamageError if it is not one
 * @throws CacheError `ERR_CACHE_CONFIG` if another version of LMDB wrote it
 */
export function checkHeader(file: string): void {
  const bytes = readStart(file)
  // An empty file is a new one.
  if (bytes.length === 0) return
  const view = new DataView(bytes.buffer)
  for (const start of [0, pageBytes]) {
    const offset = start + headerBytes
    if (bytes.length < start + pageBytes || view.getUint32(offset, isLittleEndian) !== magic) {
      throw new DamageError('is damaged, or not an LMDB file')
    }
    if (view.getUint32(offset + 4, isLittleEndian) !== version) {
      throw new CacheError(
        'ERR_CACHE_CONFIG',
        `Another version of LMDB wrote ${file}. Delete its directory, or choose another path.`,
        { store: 'lmdb' },
      )
    }
  }
}

function readStart(file: string): Uint8Array {
  const bytes = new Uint8Array(2 * pageBytes)
  const descriptor = openSync(file, 'r')
  try {
    return bytes.slice(0, readSync(descriptor, bytes, 0, bytes.length, 0))
  } finally {
    closeSync(descriptor)
  }
}
