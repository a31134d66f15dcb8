import { type Channel, subscribe, unsubscribe } from 'node:diagnostics_channel'
import { createServer, type Socket } from 'node:net'
import { type MemcachedServer, startMemcached } from '@stowage/test-servers'
import {
  type ConfigurationEndpoint,
  type ConfigurationEndpointOptions,
  configurationEndpoint,
  ManualClock,
} from '@stowage/testing'
import { afterAll, afterEach, beforeAll, beforeEach, expect, vi } from 'vitest'
import { Discovery, type DiscoveryOptions } from '../../src/discovery/discovery.ts'
import type { NodeAddress } from '../../src/node-address.ts'

export const host = '127.0.0.1'
export const minuteMs = 60_000
/** Long enough for a reply on a busy machine. */
export const timeoutMs = 20_000
/** For queries that get no reply. */
export const shortTimeoutMs = 800
export const waitOptions = { timeout: 20_000, interval: 5 }

export let memcached: MemcachedServer
export let clock: ManualClock
/** The arguments of the calls of `onNodes`. */
export let nodeLists: (readonly NodeAddress[])[]
const cleanups: (() => unknown)[] = []
/** The ports of the endpoints of all tests. */
const usedPorts = new Set<number>()

/** Registers the hooks of a test file that uses this module. */
export function registerHooks(): void {
  beforeAll(async () => {
    memcached = await startMemcached()
  })
  afterAll(() => memcached.stop())
  beforeEach(() => {
    clock = new ManualClock()
    nodeLists = []
  })
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  })
}

/** Runs `cleanup` after the test. The last registered cleanup runs first. */
export function onCleanup(cleanup: () => unknown): void {
  cleanups.push(cleanup)
}

export async function startEndpoint(
  options: Partial<ConfigurationEndpointOptions> = {},
): Promise<ConfigurationEndpoint> {
  const target = `${host}:${memcached.port}`
  const endpoint = await configurationEndpoint({ nodes: [target], target, ...options })
  onCleanup(() => endpoint.stop())
  // The process has warned of the endpoint of another test that had the same port.
  if (options.port === undefined && usedPorts.has(endpoint.port)) return startEndpoint(options)
  usedPorts.add(endpoint.port)
  return endpoint
}

/** Starts the nodes of a cluster, which all return the same configuration. The first is also the endpoint. */
export async function startCluster(size: number): Promise<ConfigurationEndpoint[]> {
  const members = await Promise.all(Array.from({ length: size }, () => startEndpoint()))
  const nodes = members.map(({ port }) => `${host}:${port}`)
  for (const member of members) member.nodes = nodes
  return members
}

/** Starts a TCP server that is not a memcached. Returns its port. */
export async function startServer(onConnection: (socket: Socket) => void): Promise<number> {
  const server = createServer(onConnection)
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  onCleanup(() => server.close())
  return (server.address() as { port: number }).port
}

export function discover(port: number, options: Partial<DiscoveryOptions> = {}): Discovery {
  const onNodes = (nodes: readonly NodeAddress[]) => nodeLists.push(nodes)
  const endpoint = { host, port }
  const timing = { timeoutMs, pollIntervalMs: minuteMs, clock, random: () => 0.5 }
  const discovery = new Discovery({
    ...{ endpoint, ...timing, ignoreClusterErrors: false, onNodes },
    ...options,
  })
  onCleanup(() => discovery.close())
  return discovery
}

/** Collects the events of a channel until the end of the test. */
export function collectEvents(channel: Channel): unknown[] {
  const events: unknown[] = []
  const collect = (event: unknown) => events.push(event)
  subscribe(channel.name, collect)
  onCleanup(() => unsubscribe(channel.name, collect))
  return events
}

export function addresses(...ports: number[]): NodeAddress[] {
  return ports.map((port) => ({ host, port }))
}

export async function waitForNodes(
  discovery: Discovery,
  nodes: readonly NodeAddress[],
): Promise<void> {
  await vi.waitFor(() => expect(discovery.nodes).toEqual(nodes), waitOptions)
}

/** Advances the clock to the next poll and waits until one of the endpoints has replied to it. */
export async function advanceToNextPoll(...endpoints: ConfigurationEndpoint[]): Promise<void> {
  const countQueries = () => endpoints.reduce((sum, endpoint) => sum + endpoint.queryCount, 0)
  const before = countQueries()
  const { sleeping } = clock
  await clock.advance(minuteMs)
  await vi.waitFor(() => expect(countQueries()).toBeGreaterThan(before), waitOptions)
  // The following poll is scheduled after the reply has been processed.
  await vi.waitFor(() => expect(clock.sleeping).toBe(sleeping), waitOptions)
}
