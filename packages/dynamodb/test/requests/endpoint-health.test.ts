import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { EndpointHealth } from '../../src/requests/endpoint-health.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const lost = new Error('lost')

/** An endpoint whose last two requests got no reply. */
function unreachable() {
  const health = new EndpointHealth('t')
  for (let requests = 0; requests < 2; requests++) health.failed(lost, performance.now())
  return health
}

/** How many milliseconds pass until a request is sent, which then gets no reply. */
function pauseOf(health: EndpointHealth): number {
  let ms = 0
  for (; ms < 2_000 && health.begin() !== undefined; ms++) vi.advanceTimersByTime(1)
  health.failed(lost, performance.now())
  return ms
}

test('an endpoint is unreachable after two requests without a reply', () => {
  const health = new EndpointHealth('t')
  expect(health.begin()).toBeUndefined()
  health.failed(lost, 0)
  expect(health.begin()).toBeUndefined()
  health.failed(lost, 0)
  expect(health.begin()).toMatchObject({ cause: lost })
})

test('a reply in between makes it reachable', () => {
  const health = new EndpointHealth('t')
  health.failed(lost, performance.now())
  health.replied()
  vi.advanceTimersByTime(1)
  health.failed(lost, performance.now())
  expect(health.begin()).toBeUndefined()
})

test('a request that another one has overtaken with a reply does not count', () => {
  const health = new EndpointHealth('t')
  const sentAt = performance.now()
  vi.advanceTimersByTime(1)
  health.replied()
  health.failed(lost, sentAt)
  health.failed(lost, sentAt)
  expect(health.begin()).toBeUndefined()
  health.failed(lost, performance.now())
  health.failed(lost, performance.now())
  expect(health.begin()).toBeDefined()
})

test('one request at a time is sent after a pause that doubles up to a second', () => {
  const health = unreachable()
  expect(Array.from({ length: 7 }, () => pauseOf(health))).toEqual([
    50, 100, 200, 400, 800, 1_000, 1_000,
  ])
  vi.advanceTimersByTime(1_000)
  expect(health.begin()).toBeUndefined()
  expect(health.begin()).toBeDefined()
})

test('a request that shows nothing gives its turn to another', () => {
  const health = unreachable()
  vi.advanceTimersByTime(50)
  expect(health.begin()).toBeUndefined()
  health.released()
  expect(health.begin()).toBeUndefined()
})

test('a reply ends the outage, and the next one begins with a short pause', () => {
  const health = unreachable()
  for (let requests = 0; requests < 3; requests++) pauseOf(health)
  vi.advanceTimersByTime(400)
  expect(health.begin()).toBeUndefined()
  health.replied()
  expect([health.begin(), health.begin()]).toEqual([undefined, undefined])
  vi.advanceTimersByTime(1)
  health.failed(lost, performance.now())
  health.failed(lost, performance.now())
  expect(pauseOf(health)).toBe(50)
})

test('the beginning and the end of an outage are published once', () => {
  const events: unknown[] = []
  const listener = (event: unknown) => events.push(event)
  subscribe('stowage:topology', listener)
  onTestFinished(() => void unsubscribe('stowage:topology', listener))
  const health = unreachable()
  health.failed(lost, performance.now())
  health.replied()
  health.replied()
  const server = { store: 'dynamodb', server: 't' }
  expect(events).toMatchObject([
    { ...server, change: 'down', error: lost },
    { ...server, change: 'up' },
  ])
})
