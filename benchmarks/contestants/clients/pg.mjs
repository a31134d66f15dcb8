import pg from 'pg'
import { hourMs } from '../../lib/workloads/dataset.mjs'
import { jsonRedisCache } from '../shared/json-redis-cache.mjs'

const table = `CREATE UNLOGGED TABLE IF NOT EXISTS cache (
  key text PRIMARY KEY, value text, expires_at timestamptz
)`
const statements = {
  get: 'SELECT value FROM cache WHERE key = $1 AND expires_at > now()',
  getMany: 'SELECT key, value FROM cache WHERE key = ANY ($1) AND expires_at > now()',
  set: `INSERT INTO cache (key, value, expires_at) VALUES ($1, $2, now() + $3 * interval '1 ms')
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at`,
}

/** The client as an application uses it: a pool with its defaults, and prepared statements. */
export async function postgres({ url }) {
  const pool = new pg.Pool({ connectionString: url })
  await pool.query(table)
  const run = (name, values) => pool.query({ name, text: statements[name], values })
  return jsonRedisCache({
    get: async (key) => (await run('get', [key])).rows[0]?.value ?? null,
    set: (key, text) => run('set', [key, text, hourMs]),
    async mget(keys) {
      const { rows } = await run('getMany', [keys])
      const found = new Map(rows.map(({ key, value }) => [key, value]))
      return keys.map((key) => found.get(key) ?? null)
    },
    close: () => pool.end(),
  })
}
