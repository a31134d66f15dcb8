import { execFile, execFileSync, fork } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import { Cache } from '@stowage/core'
import { type LmdbEvent, lmdb } from '@stowage/lmdb'
import { mountSmallDisk } from '@stowage/test-servers'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ownershipProblem } from '../src/opening/directory.ts'
import { temporaryFolder } from './temporary-folder.ts'

const folder = temporaryFolder()
const isRoot = process.getuid?.() === 0
let count = 0
let events: LmdbEvent[] = []
const onEvent = (event: unknown) => void events.push(event as LmdbEvent)
beforeEach(() => {
  events = []
  subscribe('stowage:lmdb', onEvent)
})
afterEach(() => unsubscribe('stowage:lmdb', onEvent))

function newPath(): string {
  return join(folder, String(++count))
}

/** A closed file with 2000 items. */
async function filled(path: string): Promise<string> {
  const store = lmdb({ path, maxBytes: '16MiB' })
  const entries = Array.from({ length: 2_000 }, (_, index) => [`key:${index}`, 'x'.repeat(500)])
  await store.setMany(entries as [string, string][])
  await store.close()
  return path
}

test('a store that is closed without a call creates no directory', async () => {
  const path = newPath()
  await lmdb({ path }).close()
  expect(existsSync(path)).toBe(false)
})

test('the directory and the files are readable for the owner only', async () => {
  const path = await filled(join(newPath(), 'below'))
  expect(statSync(path).mode & 0o777).toBe(0o700)
  for (const file of readdirSync(path)) {
    expect(statSync(join(path, file)).mode & 0o777, file).toBe(0o600)
  }
})

test('the name of a directory may contain a dot', async () => {
  const path = await filled(join(newPath(), 'cache.example.com'))
  const store = lmdb({ path })
  expect(await store.get('key:1')).toBeDefined()
  await store.close()
})

const damages: Record<string, (data: string) => void> = {
  'is no LMDB file': (data) => writeFileSync(data, 'hello '.repeat(5_000)),
  'has zeros at its start': (data) => overwrite(data, 0, Buffer.alloc(8_192)),
  'is half as long': (data) => truncateSync(data, Math.floor(statSync(data).size / 8_192) * 4_096),
  'has zeros in its middle': (data) =>
    overwrite(data, 16_384, Buffer.alloc(statSync(data).size - 20_480)),
}

function overwrite(file: string, position: number, bytes: Buffer): void {
  const descriptor = openSync(file, 'r+')
  writeSync(descriptor, bytes, 0, bytes.length, position)
  closeSync(descriptor)
}

describe.each(Object.entries(damages))('a file that %s', (_, damage) => {
  test('is moved aside, and the cache starts empty', async () => {
    const path = await filled(newPath())
    damage(join(path, 'data.mdb'))
    const store = lmdb({ path, maxBytes: '16MiB' })
    for (let index = 0; index < 2_000; index++) {
      const value = await store.get(`key:${index}`)
      if (value !== undefined) expect(String(value)).toBe('x'.repeat(500))
    }
    await store.set('key:1', 'new')
    expect(await store.get('key:1')).toBe('new')
    expect(events).toMatchObject([{ type: 'set-aside', path }])
    expect(statSync(events[0]?.movedTo ?? '').size).toBeGreaterThan(0)
    await store.close()
  })

  test('is an error with onDamage error, and stays as it is', async () => {
    const path = await filled(newPath())
    const data = join(path, 'data.mdb')
    damage(data)
    const store = lmdb({ path, maxBytes: '16MiB', onDamage: 'error' })
    const readAll = async () => {
      for (let index = 0; index < 2_000; index++) await store.get(`key:${index}`)
    }
    await expect(readAll()).rejects.toMatchObject({
      code: 'ERR_CACHE_UNAVAILABLE',
      retryable: false,
    })
    expect(events).toEqual([])
    expect(statSync(data).size).toBeGreaterThan(0)
    await store.close()
  })
})

test('a foreign file is moved aside', async () => {
  const path = await filled(newPath())
  rmSync(join(path, 'state.json'))
  const store = lmdb({ path })
  expect(await store.get('key:1')).toBeUndefined()
  expect(events).toMatchObject([{ reason: 'was not created by Stowage' }])
  await store.close()
})

test('a state file with another value is as if it were missing', async () => {
  for (const text of ['null', '5', '{']) {
    const path = await filled(newPath())
    writeFileSync(join(path, 'state.json'), text)
    const store = lmdb({ path, onDamage: 'error' })
    expect(() => store.get('key:1')).toThrow(
      expect.objectContaining({
        code: 'ERR_CACHE_UNAVAILABLE',
        message: expect.stringContaining('was not created by Stowage'),
      }),
    )
    await store.close()
  }
})

test('a file that was open when the system crashed starts empty, unless durability is power', async () => {
  const path = await filled(newPath())
  const state = join(path, 'state.json')
  const write = (isClean: boolean) => {
    const stored = JSON.parse(readFileSync(state, 'utf8'))
    writeFileSync(state, JSON.stringify({ ...stored, bootId: 'another', isClean }))
  }
  const read = async (durability: 'process' | 'power', onDamage?: 'error') => {
    const store = lmdb({ path, durability, onDamage })
    try {
      return await store.get('key:1')
    } finally {
      await store.close()
    }
  }
  expect(JSON.parse(readFileSync(state, 'utf8')).isClean).toBe(true)
  write(true)
  expect(await read('process')).toBeDefined()
  write(false)
  expect(await read('power')).toBeDefined()
  write(false)
  expect(await read('process', 'error'), 'sessions are kept if they are readable').toBeDefined()
  write(false)
  expect(await read('process')).toBeUndefined()
  expect(events).toHaveLength(1)
})

test.each(['reset', 'error'] as const)(
  'without data, a state from before a crash of the system is that of a new file, with onDamage %s',
  async (onDamage) => {
    const path = await filled(newPath())
    const state = join(path, 'state.json')
    const stored = JSON.parse(readFileSync(state, 'utf8'))
    writeFileSync(state, JSON.stringify({ ...stored, bootId: 'another', isClean: false }))
    for (const name of ['data.mdb', 'lock.mdb']) rmSync(join(path, name))
    const store = lmdb({ path, onDamage })
    await store.set('k', 'v')
    expect([await store.get('k'), events]).toEqual(['v', []])
    await store.close()
  },
)

test('sessions that are not readable after a crash of the system are an error', async () => {
  const path = await filled(newPath())
  const state = join(path, 'state.json')
  const stored = JSON.parse(readFileSync(state, 'utf8'))
  writeFileSync(state, JSON.stringify({ ...stored, bootId: 'another', isClean: false }))
  const data = join(path, 'data.mdb')
  // Half of the leaf pages, as if they had not been written. The root pages are intact.
  overwrite(data, 16_384, Buffer.alloc(Math.floor(statSync(data).size / 8_192) * 4_096))
  const store = lmdb({ path, onDamage: 'error' })
  expect(() => store.get('key:1')).toThrow(
    expect.objectContaining({ code: 'ERR_CACHE_UNAVAILABLE' }),
  )
  await store.close()
})

test('another format is an error that names the remedy', async () => {
  const path = await filled(newPath())
  const state = join(path, 'state.json')
  const stored = JSON.parse(readFileSync(state, 'utf8'))
  for (const change of [{ format: 99 }, { endianness: 'other' }, { bits: 16 }]) {
    writeFileSync(state, JSON.stringify({ ...stored, ...change }))
    const store = lmdb({ path })
    expect(() => store.get('k')).toThrow(
      expect.objectContaining({
        code: 'ERR_CACHE_CONFIG',
        message: expect.stringMatching(/format.*Delete the directory/),
      }),
    )
    await store.close()
  }
})

test('a path that is not a directory is an error', async () => {
  const path = newPath()
  writeFileSync(path, '')
  expect(() => lmdb({ path }).get('k')).toThrow(
    expect.objectContaining({ code: 'ERR_CACHE_CONFIG' }),
  )
})

/** Runs a script as another user or in another environment. Returns its output. */
const program = `
  import { lmdb } from '@stowage/lmdb'
  if (process.env.AS_USER) process.setuid(Number(process.env.AS_USER))
  const store = lmdb({ path: process.argv[1] })
  try { await store.set('k', 'v'); console.log('stored') } catch (e) { console.log(e.code, e.message) }
`
async function attempt(path: string, env: Record<string, string>): Promise<string> {
  const args = ['--input-type=module', '--eval', program, path]
  const options = {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
    env: { ...process.env, ...env },
    timeout: 180_000,
  }
  return (await promisify(execFile)(process.execPath, args, options)).stdout
}

test.runIf(isRoot)('a directory of another user is an error that names the remedy', async () => {
  const path = await filled(newPath())
  chmodSync(folder, 0o755)
  const output = await attempt(path, { AS_USER: '65534' })
  expect(output).toContain('ERR_CACHE_CONFIG')
  expect(output).toContain('Change its owner')
})

test.each(['lock.mdb', 'writer.mdb-lock'])(
  'a user who may not write %s gets an error that names the remedy',
  async (name) => {
    const path = await filled(newPath())
    chmodSync(join(path, name), 0o400)
    if (isRoot) {
      chmodSync(folder, 0o755)
      for (const each of ['', ...readdirSync(path)]) chownSync(join(path, each), 65_534, 65_534)
    }
    const output = await attempt(path, isRoot ? { AS_USER: '65534' } : {})
    expect(output).toMatch(/^ERR_CACHE_CONFIG .*Change its owner/)
  },
)

describe.runIf(process.platform !== 'win32')('other users of the machine', () => {
  const failure = async (path: string) => {
    const store = lmdb({ path })
    const error = await (async () => store.set('k', 'v'))().catch((reason) => reason)
    await store.close()
    return error && `${error.code}: ${error.message}`
  }

  test('must not be able to write in the directory', async () => {
    const path = newPath()
    mkdirSync(path)
    chmodSync(path, 0o777)
    expect(await failure(path)).toMatch(/^ERR_CACHE_CONFIG: .*Set its mode to 0700/)
    expect(readdirSync(path)).toEqual([])
    chmodSync(path, 0o770)
    expect(await failure(path)).toBeUndefined()
  })

  test('own no directory that is used, except root', () => {
    const mode = 0o40700
    expect(ownershipProblem({ uid: 1001, mode }, 1000)).toContain('Change its owner')
    expect(ownershipProblem({ uid: 1001, mode }, 0)).toContain('Change its owner')
    expect(ownershipProblem({ uid: 1000, mode }, 1000)).toBeUndefined()
    expect(ownershipProblem({ uid: 0, mode }, 1000)).toBeUndefined()
    expect(ownershipProblem({ uid: 0, mode: 0o40777 }, 1000)).toContain('0700')
    // Windows has no users of this kind.
    expect(ownershipProblem({ uid: 1001, mode: 0o40777 }, undefined)).toBeUndefined()
  })

  test.each(['data.mdb', 'lock.mdb', 'writer.mdb', 'writer.mdb-lock', 'state.json'])(
    'do not redirect %s to another file of this user',
    async (name) => {
      const path = newPath()
      mkdirSync(path)
      const target = `${path}.precious`
      writeFileSync(target, 'precious')
      symlinkSync(target, join(path, name))
      expect(await failure(path)).toMatch(`its file ${name} is a symbolic link`)
      expect(readFileSync(target, 'utf8')).toBe('precious')
    },
  )

  test.each(['data.mdb', 'lock.mdb', 'writer.mdb', 'writer.mdb-lock', 'state.json'])(
    'do not block the process with a named pipe in place of %s',
    async (name) => {
      const path = newPath()
      mkdirSync(path)
      execFileSync('mkfifo', [join(path, name)])
      expect(await attempt(path, {})).toContain(`its file ${name} is a named pipe. Delete it`)
    },
  )

  test.each(['data.mdb', 'lock.mdb', 'writer.mdb', 'writer.mdb-lock', 'state.json'])(
    'do not end the process with a directory in place of %s',
    async (name) => {
      const path = newPath()
      mkdirSync(join(path, name), { recursive: true })
      chmodSync(path, 0o700)
      expect(await attempt(path, {})).toContain(`its file ${name} is not a regular file. Delete it`)
    },
  )

  test('do not redirect the file that state.json is written to first, which a process before may have left', async () => {
    const path = newPath()
    mkdirSync(path)
    const target = `${path}.precious`
    writeFileSync(target, 'precious')
    symlinkSync(target, join(path, `state.json.${process.pid}`))
    expect(await failure(path)).toBeUndefined()
    expect(readFileSync(target, 'utf8')).toBe('precious')
    writeFileSync(join(path, `state.json.${process.pid}`), 'left')
    expect(await failure(path)).toBeUndefined()
    expect(lstatSync(join(path, 'state.json')).isFile()).toBe(true)
  })
})

test('a file that is deleted while it is open is replaced', async () => {
  const path = await filled(newPath())
  const store = lmdb({ path, sweepInterval: '5ms' })
  expect(await store.get('key:1')).toBeDefined()
  rmSync(path, { recursive: true })
  for (let attempt = 0; attempt < 400 && (await store.get('key:1')) !== undefined; attempt++) {
    await sleep(5)
  }
  await store.set('k', 'v')
  const other = lmdb({ path })
  expect(await other.get('k')).toBe('v')
  await other.close()
  await store.close()
})

test.runIf(isRoot)('on a full disk, writes fail with a code and reads go on', async ({ skip }) => {
  const disk = mountSmallDisk(4)
  if (disk === undefined) return skip('mount is not permitted')
  try {
    disk.fill(3 * 1024 * 1024)
    const store = lmdb({ path: join(disk.path, 'cache'), maxBytes: '64MiB' })
    await store.set('first', 'value')
    const codes = new Set<unknown>()
    for (let index = 0; index < 400; index++) {
      const values = { again: `${index}`.repeat(3_000), [`k:${index}`]: 'x'.repeat(20_000) }
      for (const [key, value] of Object.entries(values)) {
        await Promise.resolve(store.set(key, value)).catch((error) => codes.add(error.code))
      }
    }
    expect([...codes]).toEqual(['ERR_CACHE_UNAVAILABLE'])
    expect(await store.get('first')).toBe('value')
    // A value that could not be replaced is never served.
    const again = await store.get('again')
    expect(again === undefined || String(again) === '399'.repeat(3_000)).toBe(true)
    disk.free()
    await store.set('after', 'value')
    expect(await store.get('after')).toBe('value')
    await store.close()
  } finally {
    disk.unmount()
  }
})

test.runIf(isRoot)(
  'a disk that is full when a file is created ends no process',
  async ({ skip }) => {
    const disk = mountSmallDisk(4)
    if (disk === undefined) return skip('mount is not permitted')
    try {
      // The space for the first pages, for the locks, and for some of the tables.
      for (const pages of [0, 1, 4, 12]) {
        disk.fill(pages * 4_096)
        const output = await attempt(join(disk.path, `with-${pages}-pages`), {})
        expect(output).toMatch(/^ERR_CACHE_UNAVAILABLE .*the disk is full/)
        disk.free()
      }
    } finally {
      disk.unmount()
    }
  },
)

test.runIf(isRoot)(
  'on a full disk, close rejects with a code and closes the file',
  async ({ skip }) => {
    const disk = mountSmallDisk(4)
    if (disk === undefined) return skip('mount is not permitted')
    try {
      const path = join(disk.path, 'cache')
      const store = lmdb({ path })
      await store.set('k', 'v')
      disk.fill()
      await expect(store.close()).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
      disk.free()
      const other = lmdb({ path })
      expect(await other.get('k')).toBe('v')
      await other.close()
      // Only the last one that has it open marks the file.
      expect(JSON.parse(readFileSync(join(path, 'state.json'), 'utf8')).isClean).toBe(true)
    } finally {
      disk.unmount()
    }
  },
)

test.runIf(isRoot)('a read-only file system is an error with the remedy', async ({ skip }) => {
  const disk = mountSmallDisk(4)
  if (disk === undefined) return skip('mount is not permitted')
  try {
    const path = await filled(join(disk.path, 'cache'))
    execFileSync('mount', ['-o', 'remount,ro', disk.path])
    expect(() => lmdb({ path }).get('key:1')).toThrow(
      expect.objectContaining({
        code: 'ERR_CACHE_CONFIG',
        message: expect.stringContaining('its file system is read-only (EROFS). Choose another'),
      }),
    )
  } finally {
    disk.unmount()
  }
})

test('a process with too many open files is not ended, and opens the file later', async () => {
  const path = newPath()
  // The number of files that may be opened before the limit differs.
  const script = `
    import { closeSync, openSync } from 'node:fs'
    import { lmdb } from '@stowage/lmdb'
    const warm = lmdb({ path: process.argv[1] + '-other' })
    await warm.get('k')
    const opened = []
    try { for (;;) opened.push(openSync('/dev/null')) } catch {}
    const codes = new Set()
    const store = lmdb({ path: process.argv[1] })
    for (let free = 0; free < 10; free++) {
      try { await store.get('k') } catch (error) { codes.add(error.code + ' ' + error.message) }
      closeSync(opened.pop())
    }
    for (const each of opened) closeSync(each)
    await store.set('k', 'v')
    console.log(...codes, await store.get('k'))`
  const command = `ulimit -n 200; exec "$0" --input-type=module --eval '${script.replaceAll("'", `'\\''`)}' "$1"`
  const cwd = fileURLToPath(new URL('.', import.meta.url))
  const { stdout } = await promisify(execFile)('sh', ['-c', command, process.execPath, path], {
    cwd,
  })
  expect(stdout).toBe(
    'ERR_CACHE_UNAVAILABLE lmdb get failed: this process has too many open files. v\n',
  )
})

test('worker threads share the file with the main thread', async () => {
  const path = newPath()
  const store = lmdb({ path })
  const code = `
    import('${new URL('../dist/index.js', import.meta.url)}').then(async ({ lmdb }) => {
      const store = lmdb({ path: require('node:worker_threads').workerData })
      for (let i = 0; i < 500; i++) await store.increment('n', 1)
      await store.close()
    })`
  // Listened to from the start: one may end before this thread does. Rejects with an error of the worker.
  const ended = Promise.all(
    [1, 2, 3].map(() => once(new Worker(code, { eval: true, workerData: path }), 'exit')),
  )
  for (let index = 0; index < 500; index++) await store.increment('n', 1)
  expect(await ended).toEqual([[0], [0], [0]])
  expect(String(await store.get('n'))).toBe('2000')
  await store.close()
})

test('a forked process uses the file of its parent', async () => {
  const path = newPath()
  const cache = new Cache(lmdb({ path }))
  await cache.set('from', 'parent')
  const file = fileURLToPath(new URL('processes/random-calls.mjs', import.meta.url))
  const child = fork(file, [JSON.stringify({ path, ms: 100, seed: 1 })], { execArgv: [] })
  const [report] = await once(child, 'message')
  expect(report).toMatchObject({ problems: [] })
  expect(await cache.get('from')).toBe('parent')
  await cache.close()
})
