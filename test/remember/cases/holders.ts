import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { Fleet } from '../processes/fleet.mjs'
import { rememberInAll, rememberOnce, valuesOf } from './measuring.ts'

/** Longer than a busy machine stops a process that renews it. */
const leaseMs = 2_500
const options = { ttl: '1m', lease: leaseMs }
/** Far less than the endless load takes. */
const soonMs = 15_000

/** Tests of a lease whose holder ends or stops. */
export function holderTests(started: () => Fleet): void {
  test('after the process of a load was killed, another one loads within the ttl of the lease', async () => {
    await killHolder(started(), 'killed')
  })

  test('a lease whose ttl was extended by touch is taken over in the same time', async () => {
    const fleet = started()
    const key = 'touched'
    await killHolder(fleet, key, async () => {
      const [toucher] = await fleet.processes(1)
      await toucher?.call('touch', key, { ttl: '1h' })
    })
  })

  test('the value of a process that was stopped beyond its lease is not kept', async () => {
    const fleet = started()
    const key = 'stopped'
    fleet.origin.set(key, 'first')
    const holder = await fleet.spawn()
    const held = rememberOnce(holder, { key, options, load: { ms: 100 } })
    held.catch(ignore)
    await fleet.origin.loadStarted(key)
    holder.kill('SIGSTOP')
    fleet.origin.set(key, 'second')
    const [other] = await fleet.processes(1)
    if (other === undefined) throw new Error('no process')
    const outcome = await rememberOnce(other, { key, options, load: { ms: 50 } })
    expect(outcome.value).toBe('second')
    expect(fleet.origin.loadsOf(key)).toHaveLength(2)
    holder.kill('SIGCONT')
    await held
    // Its write back would be executed before this read of the same process.
    expect(await holder.strongGet(key)).toBe('second')
    expect(await other.strongGet(key)).toBe('second')
    expect((await rememberOnce(holder, { key, options, load: { ms: 1 } })).value).toBe('second')
    expect(fleet.origin.loadsOf(key)).toHaveLength(2)
  })

  test('a load that never ends is given up after loadTimeout, and a caller before that', async () => {
    const fleet = started()
    const key = 'endless'
    const limited = { ...options, loadTimeout: '1s' }
    const holder = await fleet.spawn()
    const held = rememberOnce(holder, { key, options: limited, load: { ms: 60_000 } })
    held.catch(ignore)
    await fleet.origin.loadStarted(key)
    const [other] = await fleet.processes(1)
    if (other === undefined) throw new Error('no process')
    const impatient = { ...limited, timeout: '100ms' }
    const early = await rememberOnce(other, { key, options: impatient, load: { ms: 1 } })
    expect(early.error?.code).toBe('ERR_CACHE_TIMEOUT')
    const outcome = await rememberOnce(other, { key, options: limited, load: { ms: 1 } })
    expect(outcome.value).toBe(`value of ${key}`)
    expect(outcome.ms).toBeLessThan(soonMs)
    expect((await held).error).toBeDefined()
    expect(fleet.origin.loadsOf(key)).toHaveLength(2)
  })
}

/** Kills the process of a load for which others wait, and checks that one of them loads in time. */
async function killHolder(fleet: Fleet, key: string, beforeExpiry?: () => Promise<void>) {
  const { origin } = fleet
  const holder = await fleet.spawn()
  holder.remember({ key, options, load: { ms: 60_000 } }).catch(ignore)
  await origin.loadStarted(key)
  const processes = await fleet.processes(4)
  const calls = rememberInAll(processes, { key, options, load: { ms: 50 }, calls: 25 })
  calls.catch(ignore)
  // Until the lease has been renewed.
  await sleep(leaseMs * 2)
  expect(origin.loadsOf(key)).toHaveLength(1)
  await holder.stop()
  await beforeExpiry?.()
  await origin.loadStarted(key, 2)
  expect(valuesOf(await calls)).toEqual(new Set([`value of ${key}`]))
  expect(origin.loadsOf(key)).toHaveLength(2)
}

/** If the test fails earlier, its calls are rejected when their process is ended. */
function ignore(): void {}
