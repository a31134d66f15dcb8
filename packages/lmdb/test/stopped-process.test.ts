import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ByteStore } from '@stowage/core/driver'
import { lmdb } from '@stowage/lmdb'
import { isFullTier } from '@stowage/test-servers'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { fileBytes, start } from './processes/harness.mjs'
import { StoreProcess } from './processes/remote-store.mjs'
import { temporaryFolder } from './temporary-folder.ts'

const folder = temporaryFolder()
const timedOut = expect.objectContaining({
  code: 'ERR_CACHE_TIMEOUT',
  message: expect.stringMatching(/process \d+ did not end its write .* continue it \(SIGCONT\)/),
})
let count = 0

/** A process that is stopped in the middle of a call. */
async function startAndStop(job: { path: string; maxBytes?: string; reads?: boolean }) {
  const stopping = `${job.path}.stopping`
  const child = start('stop-in-call.mjs', { ...job, stopping })
  // Somebody else may stop it before.
  while (!existsSync(stopping) || !isStopped(child)) await sleep(5)
  return child
}

/** Whether the process is stopped, which only Linux tells. */
function isStopped({ pid }: ChildProcess): boolean {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return stat.slice(stat.lastIndexOf(')') + 2).startsWith('T')
}

// The calls are made by another process: if its event loop is blocked, this one can report it.
describe.runIf(process.platform === 'linux')('while a process is stopped as it writes', () => {
  let path: string
  let writer: ChildProcess
  let others: StoreProcess

  beforeEach(async () => {
    path = join(folder, String(++count))
    others = new StoreProcess()
  })

  afterEach(async () => {
    writer.kill('SIGKILL')
    await others.stop()
  })

  /** A store in the other process, which has the file open when the writer stops. */
  async function opened(timeout: string) {
    const store = await others.create({ path, timeout })
    await store.set('own', 'value')
    writer = await startAndStop({ path })
    return store
  }

  test('reads of other processes return, and their writes reject at the timeout', async () => {
    const store = await opened('300ms')
    const written = store.set('own', 'new')
    const readAfterIt = store.get('own')
    expect(await store.get('before')).toBe('value')
    await expect(written).rejects.toEqual(timedOut)
    await expect(readAfterIt).rejects.toEqual(timedOut)
    expect(await store.get('before')).toBe('value')
    const increment = store.increment('n', 1)
    const closed = store.close()
    await expect(increment).rejects.toEqual(timedOut)
    await closed
  })

  test('calls that open the file reject at the timeout, or return when it continues', async () => {
    writer = await startAndStop({ path })
    const impatient = await others.create({ path, timeout: '50ms' })
    const patient = await others.create({ path, timeout: '1m' })
    const calls = [patient.get('before'), patient.getMany(['before', 'none']), patient.ping()]
    await expect(impatient.get('before')).rejects.toEqual(timedOut)
    await expect(impatient.scan('').next()).rejects.toEqual(timedOut)
    writer.kill('SIGCONT')
    expect(await Promise.all(calls)).toEqual(['value', ['value', undefined], undefined])
    expect(await impatient.get('before')).toBe('value')
  })

  test.each(['SIGCONT', 'SIGKILL'] as const)(
    'writes and reads wait in their order until %s',
    async (signal) => {
      const store = await opened('1m')
      const calls = [
        store.set('own', 'first'),
        store.get('own'),
        store.set('own', 'second'),
        store.getMany(['own']),
        store.delete('own'),
        store.get('own'),
      ]
      expect(await store.get('before')).toBe('value')
      const ended = once(writer, signal === 'SIGKILL' ? 'exit' : 'message')
      writer.kill(signal)
      expect(await Promise.all(calls)).toEqual([
        undefined,
        'first',
        undefined,
        ['second'],
        true,
        undefined,
      ])
      await ended
      const isStored = (await store.get('stopped')) === 'value'
      expect(isStored).toBe(signal === 'SIGCONT')
    },
  )
})

describe.runIf(process.platform === 'linux')('while a process is stopped as it reads', () => {
  const maxBytes = '1MiB'
  const body = randomBytes(20_000)
  /** Twice `maxBytes` and 64 MiB, and what is written until the timeout. */
  const largestFile = 160 * 2 ** 20
  let path: string
  let reader: ChildProcess
  let store: ByteStore

  beforeEach(async () => {
    path = join(folder, String(++count))
    store = lmdb({ path, maxBytes, timeout: '50ms' })
    await store.ping()
    reader = await startAndStop({ path, maxBytes, reads: true })
  })

  afterEach(async () => {
    reader.kill('SIGKILL')
    await store.close()
  })

  const write = async (number: number) =>
    store.setMany(Array.from({ length: 50 }, (_, index) => [`${number}:${index}`, body]))

  async function errorOfGrowth(): Promise<unknown> {
    for (let number = 0; fileBytes(path) < 4 * largestFile; number++) {
      const error = await write(number).catch((reason) => reason)
      if (error !== undefined) return error.outcomes[0].reason
    }
    return undefined
  }

  test.each(isFullTier ? (['SIGCONT', 'SIGKILL'] as const) : (['SIGCONT'] as const))(
    'writes reject when the file has become large, and succeed after %s',
    async (signal) => {
      expect(await errorOfGrowth()).toMatchObject({
        code: 'ERR_CACHE_UNAVAILABLE',
        message: expect.stringContaining(`process ${reader.pid} was stopped while it read`),
      })
      expect(fileBytes(path)).toBeLessThan(largestFile)
      const ended = once(reader, signal === 'SIGKILL' ? 'exit' : 'message')
      reader.kill(signal)
      await ended
      const bytes = fileBytes(path)
      for (let number = 0; number < 20; number++) await write(number)
      // The first transaction removes the slot of a process that was killed.
      expect(fileBytes(path)).toBeLessThan(bytes + 2 ** 21)
    },
  )
})
