import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'

const timeoutMs = 60_000

/** Reads every key and value. In another process, because a damaged page may end the process that reads it. */
const program = `
  const [library, path] = process.argv.slice(1)
  const root = require(library).open({ path, readOnly: true, encoding: 'binary', pageSize: 4096 })
  for (const name of ['items', 'chunks', 'expiry', 'meta']) {
    const table = root.openDB(name, { encoding: 'binary', keyEncoding: 'binary' })
    if (table) for (const { key, value } of table.getRange({ snapshot: true })) key.length + value.length
  }
  process.exit(0)
`

/** Whether the whole file in the directory is readable. */
export function isReadable(path: string): boolean {
  const library = createRequire(import.meta.url).resolve('lmdb')
  const options = { timeout: timeoutMs, stdio: 'ignore' } as const
  return spawnSync(process.execPath, ['--eval', program, library, path], options).status === 0
}
