import { afterAll, beforeAll, expect, test } from 'vitest'
import { Fleet } from './processes/fleet.mjs'

let fleet: Fleet
beforeAll(async () => {
  fleet = await Fleet.start('redis')
})
afterAll(() => fleet.stop())

/** Every process loads for itself. */
const options = { ttl: '1m', lease: false }

test('counts the loads of all processes, and measures every call', async () => {
  const processes = await fleet.processes(3)
  const request = { key: 'counted', options, load: { ms: 1 }, calls: 10 }
  // A process that runs late would find the value of another one.
  const release = fleet.origin.hold('counted')
  const calls = Promise.all(processes.map((each) => each.remember(request)))
  await fleet.origin.loadStarted('counted', 3)
  release()
  const outcomes = (await calls).flat()
  expect(outcomes.map(({ value }) => value)).toEqual(Array(30).fill('value of counted'))
  for (const { ms } of outcomes) expect(ms).toBeGreaterThan(0)
  const loads = fleet.origin.loadsOf('counted')
  expect(new Set(loads.map((load) => load.process)).size).toBe(3)
  expect(loads).toHaveLength(3)
})

test('a load reads the value that the origin has when it starts', async () => {
  const [first, second] = await fleet.processes(2)
  fleet.origin.set('read', 'before')
  const request = { key: 'read', options, load: { ms: 1 } }
  const release = fleet.origin.hold('read')
  const early = first?.remember(request)
  await fleet.origin.loadStarted('read')
  fleet.origin.set('read', 'after')
  const late = second?.remember(request)
  await fleet.origin.loadStarted('read', 2)
  release()
  expect([await early, await late]).toMatchObject([[{ value: 'before' }], [{ value: 'after' }]])
})

test('the error of a loader contains its process', async () => {
  const [first] = await fleet.processes(1)
  const request = { key: 'failing', options, load: { ms: 1, fails: true } }
  expect(await first?.remember(request)).toMatchObject([
    { error: { message: `load failed in process ${first?.pid}` } },
  ])
})

test('a killed process ends its loads and rejects its calls', async () => {
  const worker = await fleet.spawn()
  const call = worker.remember({ key: 'killed', options, load: { ms: 60_000 } })
  await fleet.origin.loadStarted('killed')
  worker.kill('SIGKILL')
  await expect(call).rejects.toThrow('the process has exited')
  await fleet.origin.loadsEnded('killed')
})

test('a process may have a clock that is fast', async () => {
  const [first] = await fleet.processes(1)
  const fast = await fleet.spawn({ clockShiftMs: 600_000 })
  const expiry = new Date(Date.now() + 300_000)
  await first?.call('set', 'dated', 'value', { ttl: expiry })
  expect(await first?.strongGet('dated')).toBe('value')
  // A date in the past deletes the value.
  await fast.call('set', 'dated', 'value', { ttl: expiry })
  expect(await first?.strongGet('dated')).toBeUndefined()
})
