import type { Cache } from '@stowage/core'
import { within } from '@stowage/postgres'
import { pool } from './database.ts'

/** The texts of all notes. The query is executed when the cache does not have them. */
export function listNotes(cache: Cache): Promise<string[]> {
  return cache.remember('notes', { ttl: '10m' }, async () => {
    const { rows } = await pool.query<{ text: string }>('SELECT text FROM notes ORDER BY id')
    return rows.map(({ text }) => text)
  })
}

/** Both changes become visible with the commit, and neither if it fails: the cache never differs from the data. */
export async function addNote(cache: Cache, text: string): Promise<void> {
  const client = await pool.connect()
  try {
    await client.query('BEGIN')
    await client.query('INSERT INTO notes (text) VALUES ($1)', [text])
    await within(cache, client).delete('notes')
    await client.query('COMMIT')
  } catch (error) {
    await client.query('ROLLBACK')
    throw error
  } finally {
    client.release()
  }
}
