import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Fleet } from '../../remember/processes/fleet.mjs'
import { waitUntil } from '../../remember/processes/wait-until.mjs'
import type { WorkerProcess } from '../../remember/processes/worker-process.mjs'
import type { Hold } from '../processes/lock-commands.mjs'
import { Resource } from '../processes/resource.mjs'

const ttl = 1_000
/** How long before another process can hold it a lock counts as lost: a tenth of its ttl. */
const safetyMs = ttl / 10

/** Tests of locks whose holders are stopped, killed, or owned by another process. */
export function holderTests(started: () => Fleet): void {
  let resource: Resource
  beforeAll(async () => {
    resource = await Resource.start()
  })
  afterAll(() => resource.stop())

  test('of 50 contenders one at a time holds a lock, although holders are stopped beyond its ttl', async () => {
    const processes = await started().processes(4)
    const request = { name: 'contended', ttl, turns: 1, holdMs: 120, port: resource.port }
    const shares = [13, 13, 12, 12]
    const contending = Promise.all(
      processes.map((each, index) =>
        each.command('contend', { ...request, contenders: shares[index] }),
      ),
    )
    contending.catch(ignore)
    const stopped = new Set<number>()
    for (let count = 0; count < 3; count++) stopped.add(await stopHolder(resource, processes))
    const holds: readonly Hold[] = (await contending).flat()
    expect(resource.entries.length).toBeGreaterThanOrEqual(50 - 2 * stopped.size)
    const numbers = resource.entries.map(({ number }) => number)
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b))
    // Only a holder whose process was stopped while it held the lock, or could not run, comes late.
    const stalled = holds.filter(({ stallMs }) => stallMs > safetyMs).map(({ number }) => number)
    expect(stalled.length).toBeGreaterThanOrEqual(stopped.size)
    expect(stalled).toEqual(expect.arrayContaining(resource.overtaken))
    expect(stalled).toEqual(expect.arrayContaining(resource.refused))
  })

  test('the lock of a killed process is acquired by another one after its ttl', async () => {
    const fleet = started()
    const holder = await fleet.spawn()
    const [other] = await fleet.processes(1)
    resource.inside = undefined
    // Longer than a busy machine stops a process that renews it.
    const ttl = 5_000
    const request = { name: 'killed', ttl, contenders: 1, turns: 1, port: resource.port }
    holder.command('contend', { ...request, holdMs: 600_000 }).catch(ignore)
    await waitUntil('the lock is held', () => resource.inside === holder.pid)
    const waiting = other?.command('contend', { ...request, holdMs: 30 })
    // Without a renewal, the other process would have it by then.
    await sleep(1.2 * ttl)
    expect(resource.inside).toBe(holder.pid)
    await holder.stop()
    await waiting
    // It would fail after its `wait` of two minutes, and the test before that.
    expect(resource.entries.at(-1)?.pid).toBe(other?.pid)
  })

  test('a lock outlives clear() of another process, and is released by its owner anywhere', async () => {
    const [holder, other] = (await started().processes(2)) as [WorkerProcess, WorkerProcess]
    const request = { name: 'cleared', ttl: 60_000 }
    for (let round = 0; round < 3; round++) {
      const { isAcquired, owner } = await holder.command('acquire', request)
      expect(isAcquired).toBe(true)
      await other.call('set', `key ${round}`, 1)
      await Promise.all([other.call('clear'), holder.call('clear')])
      expect((await other.command('acquire', request)).isAcquired).toBe(false)
      const foreign = { ...request, owner: 'other' }
      expect(await other.command('restored', { ...foreign, method: 'release' })).toBe(false)
      const owned = { ...request, owner }
      expect(await holder.command('restored', { ...owned, method: 'isOwned' })).toBe(true)
      expect(await other.command('restored', { ...owned, method: 'release' })).toBe(true)
      expect(await holder.command('restored', { ...owned, method: 'release' })).toBe(false)
    }
  })

  test('a concurrency limit is not exceeded by several processes', async () => {
    const processes = await started().processes(4)
    const options = { limit: 3, ttl: 10_000 }
    const request = { name: 'slots', options, calls: 8, holdMs: 20, port: resource.port }
    await Promise.all(processes.map((each) => each.command('useSlots', request)))
    expect(resource.mostSlots).toBe(3)
  })
}

/** Stops the process that is using the resource, until others have used it. Returns its id. */
async function stopHolder(resource: Resource, processes: readonly WorkerProcess[]) {
  const others = () => resource.entries.length
  await waitUntil('a process is inside', () => resource.inside !== undefined)
  const holder = processes.find(({ pid }) => pid === resource.inside)
  if (holder === undefined) throw new Error('no holder')
  holder.kill('SIGSTOP')
  const before = others()
  try {
    await sleep(2 * ttl)
    // The backend may let the lock exist for longer than its ttl.
    await waitUntil('others have entered', () => others() > before + 1)
  } finally {
    // Other tests use it as well.
    holder.kill('SIGCONT')
  }
  await waitUntil('it goes on', () => others() > before + 4)
  return holder.pid
}

/** If the test fails earlier, its calls are rejected when their process is ended. */
function ignore(): void {}
