import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { start } from './processes/harness.mjs'
import { StoreProcess } from './processes/remote-store.mjs'
import { temporaryFolder } from './temporary-folder.ts'

const folder = temporaryFolder()
const timedOut = expect.objectContaining({
  code: 'ERR_CACHE_TIMEOUT',
  message: expect.stringMatching(/process \d+ did not end its write .* continue it \(SIGCONT\)/),
})
let count = 0

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
    await startAndStop()
    return store
  }

  async function startAndStop(): Promise<void> {
    const stopping = `${path}.stopping`
    writer = start('stop-in-write.mjs', { path, stopping })
    // Somebody else may stop it before.
    while (!existsSync(stopping) || !isStopped(writer)) await sleep(5)
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
    await startAndStop()
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
