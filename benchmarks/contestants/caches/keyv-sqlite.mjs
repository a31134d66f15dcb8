import { join } from 'node:path'
import { Keyv } from 'keyv'
import Database from 'libsql'
import { hourMs } from '../../lib/workloads/dataset.mjs'

/**
 * keyv with a table in SQLite. `@keyv/sqlite` needs a compiler to be installed; this adapter executes the same statements
 * with a binding that has binaries, and without a thread in between, which makes it faster.
 */
export function sqlite({ path }) {
  const cache = new Keyv({ store: new Table(join(path, 'keyv.sqlite')), ttl: hourMs })
  return {
    get: (key) => cache.get(key),
    set: (key, value) => cache.set(key, value),
    getMany: (keys) => cache.getMany(keys),
    close: () => cache.disconnect(),
  }
}

class Table {
  opts = { dialect: 'sqlite' }

  constructor(file) {
    this.database = new Database(file)
    this.database.exec('CREATE TABLE keyv (key TEXT PRIMARY KEY, value TEXT)')
    this.select = this.database.prepare('SELECT value FROM keyv WHERE key = ?')
    this.insert = this.database.prepare(
      'INSERT INTO keyv (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
    )
  }

  async get(key) {
    return this.select.get(key)?.value
  }

  async getMany(keys) {
    const marks = keys.map(() => '?').join()
    const statement = this.database.prepare(`SELECT key, value FROM keyv WHERE key IN (${marks})`)
    const found = new Map(statement.all(...keys).map(({ key, value }) => [key, value]))
    return keys.map((key) => found.get(key))
  }

  async set(key, value) {
    this.insert.run(key, value)
  }

  async delete(key) {
    return this.database.prepare('DELETE FROM keyv WHERE key = ?').run(key).changes > 0
  }

  async clear() {
    this.database.exec('DELETE FROM keyv')
  }

  async disconnect() {
    this.database.close()
  }
}
