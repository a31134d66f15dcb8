import { setTimeout as pause } from 'node:timers/promises'
import { command, startProxy, startReplicated, startSentinels } from '@stowage/test-servers'
import { now } from './load.mjs'

const electionTimeoutMs = 60_000

/** @typedef {import('@stowage/test-servers').Replicated} Replicated */
/** @typedef {import('@stowage/test-servers').Sentinels} Sentinels */
/** @typedef {import('@stowage/test-servers').FaultProxy} FaultProxy */

/** @typedef {{ port: number, knownAt: number }} NewPrimary `knownAt`: when a client could first learn its address */

/**
 * @typedef {object} Setup
 * @property {Replicated} servers
 * @property {import('@stowage/redis').RedisOptions} options how the store finds the primary
 * @property {() => Promise<NewPrimary>} failover replaces the primary
 * @property {() => Promise<number>} currentPrimary port of the current primary
 * @property {() => Promise<unknown>} stop
 * @property {boolean} [frozen] whether the failover freezes the old primary: it executes what it has received when it
 *   resumes
 */

/** @type {Record<string, () => Promise<Setup>>} */
export const scenarios = {
  'sentinel-kill': () => withSentinels(({ primary }) => primary.kill('SIGKILL')),
  'sentinel-freeze': async () => ({
    ...(await withSentinels(({ primary }) => primary.kill('SIGSTOP'))),
    frozen: true,
  }),
  'sentinel-planned': () => withSentinels((_, sentinels) => sentinels.failover()),
  'endpoint-cut': () =>
    withEndpoint(async ({ endpoint, promote }) => {
      endpoint.refuse(true)
      endpoint.cut()
      await pause(1_000)
      const port = await promote()
      endpoint.retarget(port)
      endpoint.refuse(false)
      return port
    }),
  'endpoint-demoted': () =>
    withEndpoint(async ({ endpoint, promote }) => {
      const port = await promote()
      await pause(500)
      endpoint.retarget(port)
      return port
    }),
  'endpoint-black-hole': () =>
    withEndpoint(async ({ endpoint, link, promote }) => {
      link.mute(true)
      await pause(2_000)
      const port = await promote()
      endpoint.retarget(port)
      return port
    }),
}

/**
 * A primary that the store finds through Sentinels.
 * @param {(servers: Replicated, sentinels: Sentinels) => unknown} fail
 * @returns {Promise<Setup>}
 */
async function withSentinels(fail) {
  const servers = await startReplicated()
  const sentinels = await startSentinels({ replicated: servers })
  const addresses = sentinels.addresses.map(({ host, port }) => `${host}:${port}`)
  const failover = async () => {
    const failing = fail(servers, sentinels)
    const newPrimary = await electedPrimary(sentinels, servers.primary.port)
    await failing
    return newPrimary
  }
  const currentPrimary = async () => (await sentinels.currentPrimary()).port
  const stop = () => Promise.all([sentinels.stop(), servers.stop()])
  return { servers, options: { sentinels: addresses }, failover, currentPrimary, stop }
}

/**
 * Resolves as soon as one Sentinel returns another primary than the old one.
 * @param {Sentinels} sentinels
 * @param {number} oldPort
 * @returns {Promise<NewPrimary>}
 */
async function electedPrimary({ ports, name }, oldPort) {
  const query = (/** @type {number} */ port) =>
    command(port, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name)
  for (const deadline = now() + electionTimeoutMs; now() < deadline; await pause(5)) {
    const replies = await Promise.all(ports.map(query))
    const port = replies
      .map((reply) => Number(`${reply}`.split(',')[1]))
      .find((each) => each !== oldPort)
    if (port !== undefined) return { port, knownAt: now() }
  }
  throw new Error('no Sentinel has returned a new primary')
}

/**
 * A primary behind an endpoint: an address that stays the same. The endpoint forwards to a link, which can become a
 * black hole for the old connections only.
 * @param {(parts: { endpoint: FaultProxy, link: FaultProxy, promote: () => Promise<number> }) => Promise<number>} fail
 * @returns {Promise<Setup>}
 */
async function withEndpoint(fail) {
  const servers = await startReplicated({ replicas: 1 })
  const link = await startProxy(servers.primary.port)
  const endpoint = await startProxy(link.port)
  const replica = servers.replicas[0].port
  const promote = async () => {
    await command(replica, 'REPLICAOF', 'NO', 'ONE')
    await command(servers.primary.port, 'REPLICAOF', '127.0.0.1', replica)
    return replica
  }
  const failover = async () => ({
    port: await fail({ endpoint, link, promote }),
    knownAt: now(),
  })
  const currentPrimary = async () => replica
  const stop = () => Promise.all([endpoint.stop(), link.stop(), servers.stop()])
  return { servers, options: { url: endpoint.url }, failover, currentPrimary, stop }
}
