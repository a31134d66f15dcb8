import { randomBytes } from 'node:crypto'
import { chownSync, mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { CacheError } from '@stowage/core'
import { ensureTable, postgres } from '@stowage/postgres'
import {
  mountSmallDisk,
  type PostgresServer,
  runningTimeOf,
  startPostgres,
} from '@stowage/test-servers'
import pg from 'pg'
import { expect, onTestFinished, test, vi } from 'vitest'

const isRoot = process.getuid?.() === 0
const timeoutMs = 5_000
const slackMs = 2_000
const patient = { timeout: 60_000 }
const megabyte = 1024 * 1024

type Store = ReturnType<typeof postgres>

async function startOn(folder?: string): Promise<PostgresServer> {
  const settings = { synchronous_commit: 'on' }
  const server = await startPostgres(folder === undefined ? { settings } : { settings, folder })
  onTestFinished(() => server.stop())
  return server
}

async function openStore(url: string): Promise<Store> {
  await ensureTable({ url, logged: true })
  const store = postgres({ url, logged: true, timeout: timeoutMs, sweepInterval: 100 })
  onTestFinished(() => store.close())
  return store
}

async function execute(url: string, text: string): Promise<void> {
  const client = new pg.Client(url)
  await client.connect()
  await client.query(text)
  await client.end()
}

/** Values that were acknowledged, and for the keys whose latest write has failed, all that they may have. */
class Written {
  readonly #values = new Map<string, (string | undefined)[]>()
  readonly errors: CacheError[] = []
  #count = 0

  /** Writes values of so many keys, which the server cannot compress, until some calls have failed. */
  async fill(store: Store, keys: number): Promise<void> {
    const write = async (worker: number) => {
      while (this.errors.length < 50) {
        const key = `${worker}:${this.#count++ % keys}`
        await this.#write(store, key, randomBytes(700).toString('base64'))
      }
    }
    await Promise.all(Array.from({ length: 8 }, (_, worker) => write(worker)))
  }

  /** Returns the keys that have another value than they may have. */
  async wrongIn(store: Store): Promise<string[]> {
    const keys = [...this.#values.keys()]
    const read = await store.getMany(keys)
    return keys.filter((key, index) => !this.#values.get(key)?.includes(read[index] as string))
  }

  async #write(store: Store, key: string, value: string): Promise<void> {
    const took = await runningTimeOf(async () => {
      try {
        await store.set(key, value)
        this.#values.set(key, [value])
      } catch (error) {
        if (!CacheError.is(error)) throw error
        this.errors.push(error)
        this.#values.set(key, [...(this.#values.get(key) ?? [undefined]), value])
      }
    })
    // For a call of its key before it, and its own.
    expect(took).toBeLessThan(2 * timeoutMs + slackMs)
  }
}

test.runIf(isRoot)(
  'a table without space: writes reject, reads and deletes go on',
  async ({ skip }) => {
    const disk = mountSmallDisk(8)
    if (disk === undefined) return skip('mount is not permitted')
    onTestFinished(disk.unmount)
    const server = await startOn()
    const { url } = server
    const folder = join(disk.path, 'table')
    mkdirSync(folder)
    const { uid, gid } = statSync(`/proc/${server.pid}`)
    chownSync(folder, uid, gid)
    await execute(url, `CREATE TABLESPACE small LOCATION '${folder}'`)
    const store = await openStore(`${url}?options=-c%20default_tablespace=small`)
    await store.set('first', 'value', 3_600_000)
    const written = new Written()
    disk.fill(megabyte)
    await written.fill(store, 2_000)
    for (const error of written.errors) {
      expect(error).toMatchObject({
        code: 'ERR_CACHE_REJECTED',
        retryable: true,
        message: expect.stringContaining('the disk of the server is full. Free some space'),
      })
    }
    expect(await store.get('first')).toBe('value')
    expect(await written.wrongIn(store)).toEqual([])
    disk.free()
    await store.set('after', 'value')
    expect(await store.get('after')).toBe('value')
  },
)

test.runIf(isRoot)(
  'a server without space for its WAL: it ends, and loses nothing acknowledged',
  async ({ skip }) => {
    const disk = mountSmallDisk(96)
    if (disk === undefined) return skip('mount is not permitted')
    onTestFinished(disk.unmount)
    const server = await startOn(disk.path)
    const store = await openStore(server.url)
    disk.fill(8 * megabyte)
    // Fills most of the current WAL segment of 16 MiB. The disk has no space for another one.
    await execute(server.url, "SELECT pg_logical_emit_message(false, '', repeat('x', 12000000))")
    const written = new Written()
    await written.fill(store, 50)
    const codes = new Set(written.errors.map(({ code }) => code))
    for (const code of codes) {
      expect(['ERR_CACHE_REJECTED', 'ERR_CACHE_UNAVAILABLE', 'ERR_CACHE_TIMEOUT']).toContain(code)
    }
    expect(codes).toContain('ERR_CACHE_UNAVAILABLE')
    disk.free()
    await server.restart()
    await vi.waitFor(() => store.set('after', 'value'), patient)
    expect(await store.get('after')).toBe('value')
    expect(await written.wrongIn(store)).toEqual([])
  },
)
