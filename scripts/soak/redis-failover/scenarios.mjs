import { setTimeout as pause } from 'node:timers/promises'
import { command, startProxy, startReplicated, startSentinels } from '@stowage/test-servers'
import { now } from './load.mjs'

const patienceMs = 60_000

/** @typedef {import('@stowage/test-servers').Replicated} Replicated */
/** @typedef {import('@stowage/test-servers').Sentinels} Sentinels */
/** @typedef {import('@stowage/test-servers').FaultProxy} FaultProxy */

/**
 * Where the primary is found, and how it is lost there.
 * @typedef {object} Scene
 * @property {Replicated} servers
 * @property {import('@stowage/redis').RedisOptions} options
 * @property {() => Promise<{ port: number, at: number }>} replace loses the primary; resolves with the new one, and when it could be known
 * @property {() => Promise<number>} primary the port of the primary now
 * @property {() => Promise<unknown>} stop
 * @property {boolean} [held] whether commands sent to the old primary may reach it long after
 */

/** @type {Record<string, () => Promise<Scene>>} */
export const scenarios = {
  'sentinel-kill': () => withSentinels(({ primary }) => primary.kill('SIGKILL')),
  'sentinel-freeze': async () => ({
    ...(await withSentinels(({ primary }) => primary.kill('SIGSTOP'))),
    held: true,
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
 * @param {(servers: Replicated, sentinels: Sentinels) => unknown} lose
 * @returns {Promise<Scene>}
 */
async function withSentinels(lose) {
  const servers = await startReplicated()
  const sentinels = await startSentinels({ replicated: servers })
  const addresses = sentinels.addresses.map(({ host, port }) => `${host}:${port}`)
  const replace = async () => {
    const losing = lose(servers, sentinels)
    const known = await knownPrimary(sentinels, servers.primary.port)
    await losing
    return known
  }
  const primary = async () => (await sentinels.currentPrimary()).port
  const stop = () => Promise.all([sentinels.stop(), servers.stop()])
  return { servers, options: { sentinels: addresses }, replace, primary, stop }
}

/** Resolves as soon as one Sentinel names another primary than the old one. @param {Sentinels} sentinels @param {number} old */
async function knownPrimary({ ports, name }, old) {
  const ask = (/** @type {number} */ port) =>
    command(port, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name)
  for (const end = now() + patienceMs; now() < end; await pause(5)) {
    const replies = await Promise.all(ports.map(ask))
    const port = replies
      .map((reply) => Number(`${reply}`.split(',')[1]))
      .find((each) => each !== old)
    if (port !== undefined) return { port, at: now() }
  }
  throw new Error('no Sentinel has named a new primary')
}

/**
 * A primary behind an address that stays the same. What is sent there goes through a link, which can become a black
 * hole for the old connections alone.
 * @param {(parts: { endpoint: FaultProxy, link: FaultProxy, promote: () => Promise<number> }) => Promise<number>} lose
 * @returns {Promise<Scene>}
 */
async function withEndpoint(lose) {
  const servers = await startReplicated({ replicas: 1 })
  const link = await startProxy(servers.primary.port)
  const endpoint = await startProxy(link.port)
  const next = servers.replicas[0].port
  const promote = async () => {
    await command(next, 'REPLICAOF', 'NO', 'ONE')
    await command(servers.primary.port, 'REPLICAOF', '127.0.0.1', next)
    return next
  }
  const replace = async () => ({ port: await lose({ endpoint, link, promote }), at: now() })
  const stop = () => Promise.all([endpoint.stop(), link.stop(), servers.stop()])
  return { servers, options: { url: endpoint.url }, replace, primary: async () => next, stop }
}
