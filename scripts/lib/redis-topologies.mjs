import { connect, createServer } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { startRedis } from './redis-server.mjs'
import { freePort } from './server-process.mjs'

const host = '127.0.0.1'
const readyWithinMs = 30_000
const answerWithinMs = 5_000
const startAttempts = 5
const slots = 16_384
// A node of a cluster listens on a second port, this much higher.
const busOffset = 10_000
// A diskless sync starts after 5 s, and even without that delay the commands follow it up to 1 s later. Every
// server gets the setting: a failover makes a primary of a replica.
const promptSync = ['--repl-diskless-sync', 'no']

/** @typedef {import('./redis-server.mjs').RedisServer} RedisServer */
/** @typedef {import('./redis-server.mjs').RedisServerOptions} RedisServerOptions */
/** @typedef {{ host: string, port: number }} Address */
/** @typedef {string | number | null | Error | Reply[]} Reply */

/**
 * @typedef {object} Replicated
 * @property {RedisServer} primary the server that was started as the primary
 * @property {RedisServer[]} replicas
 * @property {() => Promise<void>} stop ends all, restarted ones too; idempotent
 */

/**
 * A primary with replicas, all of which are online.
 * @param {object} [options]
 * @param {number} [options.replicas]
 * @param {string[]} [options.args] further settings of every server
 * @param {(port: number) => Promise<number> | number} [options.replicateThrough]
 *   gives each replica the port to reach the primary at, such as that of a proxy. Sentinels lead the replicas
 *   back to the primary itself after some seconds.
 * @returns {Promise<Replicated>}
 */
export function startReplicated({ replicas = 2, args = [], replicateThrough } = {}) {
  return inFleet(async (fleet) => {
    const settings = [...promptSync, ...args]
    const primary = await fleet.start({ args: settings })
    const startReplica = async () => {
      const port = (await replicateThrough?.(primary.port)) ?? primary.port
      return fleet.start({ args: [...settings, '--replicaof', host, `${port}`] })
    }
    const started = await Promise.all(Array.from({ length: replicas }, startReplica))
    await until('the primary sees its replicas', () => countsReplicas(primary.port, replicas))
    // "Online" does not mean that commands arrive yet: only what has arrived shows that. A message leaves no
    // trace in the data.
    await mustCommand(primary.port, 'PUBLISH', 'stowage:ready', '')
    await until('the replicas follow', () =>
      every(started, ({ port }) => follows(primary.port, port)),
    )
    return { primary, replicas: started, stop: fleet.stop }
  })
}

/** @param {number} primary @param {number} replicas */
async function countsReplicas(primary, replicas) {
  const role = /** @type {Reply[][]} */ (await mustCommand(primary, 'ROLE'))
  return role[2].length === replicas
}

/** @param {number} primary @param {number} replica ports */
async function follows(primary, replica) {
  const [, sent] = /** @type {Reply[]} */ (await mustCommand(primary, 'ROLE'))
  const [, , , state, applied] = /** @type {Reply[]} */ (await mustCommand(replica, 'ROLE'))
  return state === 'connected' && Number(applied) >= Number(sent)
}

/**
 * @typedef {object} Sentinels
 * @property {RedisServer[]} servers
 * @property {number[]} ports
 * @property {Address[]} addresses
 * @property {string} name
 * @property {() => Promise<Address>} currentPrimary as the sentinels that answer agree on; waits until they do
 * @property {() => Promise<Address>} failover
 *   promotes a replica without an outage; resolves with the new primary once all sentinels that answer name it
 * @property {() => Promise<void>} stop ends the sentinels only; idempotent
 */

/**
 * Sentinels that watch over a primary and know its replicas and each other.
 * @param {object} options
 * @param {Replicated} options.replicated
 * @param {number} [options.sentinels]
 * @param {number} [options.quorum]
 * @param {number} [options.downAfterMs]
 * @param {number} [options.failoverTimeoutMs]
 * @param {string} [options.name]
 * @returns {Promise<Sentinels>}
 */
export function startSentinels({
  replicated,
  sentinels = 3,
  quorum = 2,
  downAfterMs = 1_000,
  failoverTimeoutMs = 3_000,
  name = 'mymaster',
}) {
  const conf = `sentinel monitor ${name} ${host} ${replicated.primary.port} ${quorum}
sentinel down-after-milliseconds ${name} ${downAfterMs}
sentinel failover-timeout ${name} ${failoverTimeoutMs}
`
  return inFleet(async (fleet) => {
    const start = () => fleet.start({ conf, args: ['--sentinel'] })
    const servers = await Promise.all(Array.from({ length: sentinels }, start))
    const expected = { replicas: replicated.replicas.length, others: sentinels - 1 }
    await until('the sentinels know the replicas and each other', () =>
      every(servers, ({ port }) => knows(port, name, expected)),
    )
    return { ...sentinelsApi(servers, name), stop: fleet.stop }
  })
}

/** @param {number} port @param {string} name @param {{ replicas: number, others: number }} expected */
async function knows(port, name, { replicas, others }) {
  const primary = fields(await sentinel(port, 'MASTER', name))
  const known = /** @type {Reply[]} */ (await sentinel(port, 'REPLICAS', name)).map(fields)
  // Until it has their INFO, a sentinel knows of replicas and yet would promote none of them.
  const usable = known.filter((replica) => replica['master-link-status'] === 'ok')
  const counts = [primary['num-slaves'], primary['num-other-sentinels'], usable.length]
  return `${counts}` === `${[replicas, others, replicas]}` && primary.flags === 'master'
}

/** @param {RedisServer[]} servers @param {string} name */
function sentinelsApi(servers, name) {
  const ports = servers.map(({ port }) => port)
  const currentPrimary = () => until('the sentinels agree', () => agreedPrimary(ports, name))
  const failover = async () => {
    const before = await currentPrimary()
    let asked = 0
    await until('a sentinel starts a failover', () =>
      sentinel(ports[asked++ % ports.length], 'FAILOVER', name),
    )
    return until('a replica is promoted', async () => {
      const now = await agreedPrimary(ports, name)
      return now && now.port !== before.port && (await isPrimary(now.port)) && now
    })
  }
  return { servers, ports, addresses: ports.map(addressOf), name, currentPrimary, failover }
}

/**
 * @param {number[]} ports @param {string} name
 * @returns {Promise<Address | undefined>} nothing while the sentinels differ
 */
async function agreedPrimary(ports, name) {
  const asked = ports.map((port) => sentinel(port, 'GET-MASTER-ADDR-BY-NAME', name))
  const answers = (await Promise.allSettled(asked)).flatMap((result) =>
    result.status === 'fulfilled' ? [`${result.value}`] : [],
  )
  if (new Set(answers).size !== 1) return undefined
  return addressOf(Number(answers[0].split(',')[1]))
}

/** @param {number} port */
async function isPrimary(port) {
  const role = await command(port, 'ROLE')
  return Array.isArray(role) && role[0] === 'master'
}

/** @param {number} port @param {...string} args */
function sentinel(port, ...args) {
  return mustCommand(port, 'SENTINEL', ...args)
}

/** @param {Reply} reply a flat list of names and values @returns {Record<string, string>} */
function fields(reply) {
  const list = /** @type {string[]} */ (reply)
  return Object.fromEntries(
    list.flatMap((name, at) => (at % 2 === 0 ? [[name, list[at + 1]]] : [])),
  )
}

/**
 * @typedef {object} Cluster
 * @property {RedisServer[]} nodes the masters first, then the replicas of the first master, and so on
 * @property {Address[]} addresses
 * @property {() => Promise<void>} stop ends all; idempotent
 */

/**
 * A cluster in which every node serves and knows all slots. A node that was restarted is empty and no longer
 * a member: let one fail and return with SIGSTOP and SIGCONT.
 * @param {object} [options]
 * @param {number} [options.masters] a cluster of fewer than three does not promote a replica
 * @param {number} [options.replicasPerMaster]
 * @param {number} [options.nodeTimeoutMs]
 * @param {string[]} [options.args] further settings of every node
 * @returns {Promise<Cluster>}
 */
export function startCluster({
  masters = 3,
  replicasPerMaster = 0,
  nodeTimeoutMs = 2_000,
  args = [],
} = {}) {
  const cluster = ['--cluster-enabled', 'yes', '--cluster-node-timeout', `${nodeTimeoutMs}`]
  // Until a first byte is replicated, other nodes do not list a replica. By default that is a ping after 10 s.
  const replication = [...promptSync, '--repl-ping-replica-period', '1']
  const settings = [...cluster, ...replication, ...args]
  return inFleet(async (fleet) => {
    const start = () => startOnBusPort((port) => fleet.start({ port, args: settings }))
    const length = masters * (1 + replicasPerMaster)
    const nodes = await Promise.all(Array.from({ length }, start))
    const ports = nodes.map(({ port }) => port)
    await assignSlots(ports.slice(0, masters))
    await introduce(ports)
    await assignReplicas(ports, masters, replicasPerMaster)
    await until('every node knows all slots', () =>
      every(nodes, ({ port }) => knowsCluster(port, length, replicasPerMaster)),
    )
    return { nodes, addresses: ports.map(addressOf), stop: fleet.stop }
  })
}

/** @param {(port: number) => Promise<RedisServer>} start */
async function startOnBusPort(start) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start(await freeBusPort())
    } catch (error) {
      // Somebody else may have taken either port between our look and the server's bind.
      if (attempt === startAttempts) throw error
    }
  }
}

/** @returns {Promise<number>} */
function freeBusPort() {
  return until('a port for a cluster node is free', async () => {
    const port = await freePort()
    return port + busOffset <= 65_535 && (await isFree(port + busOffset)) && port
  })
}

/** @param {number} port @returns {Promise<boolean>} */
function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer()
    server.on('error', () => resolve(false))
    server.listen(port, host, () => server.close(() => resolve(true)))
  })
}

/** @param {number[]} ports */
async function assignSlots(ports) {
  for (const [at, port] of ports.entries()) {
    const first = Math.ceil((slots * at) / ports.length)
    const end = Math.ceil((slots * (at + 1)) / ports.length)
    const own = Array.from({ length: end - first }, (_, offset) => `${first + offset}`)
    // ADDSLOTSRANGE needs Redis 7.
    await mustCommand(port, 'CLUSTER', 'ADDSLOTS', ...own)
    // Masters of one epoch have to resolve the collision first, and lose time.
    await mustCommand(port, 'CLUSTER', 'SET-CONFIG-EPOCH', `${at + 1}`)
  }
}

/**
 * Every node meets every other: what they learn by gossip alone takes seconds.
 * @param {number[]} ports
 */
async function introduce(ports) {
  for (const [at, port] of ports.entries())
    for (const other of ports.slice(at + 1))
      await mustCommand(port, 'CLUSTER', 'MEET', host, `${other}`)
}

/** @param {number[]} ports @param {number} masters @param {number} perMaster */
async function assignReplicas(ports, masters, perMaster) {
  for (const [at, replica] of ports.slice(masters).entries()) {
    const master = ports[Math.floor(at / perMaster)]
    const id = `${await mustCommand(master, 'CLUSTER', 'MYID')}`
    // It refuses until it has met the master.
    await until(`node ${replica} replicates ${master}`, () =>
      mustCommand(replica, 'CLUSTER', 'REPLICATE', id),
    )
  }
}

/** @param {number} port @param {number} nodes @param {number} replicasPerMaster */
async function knowsCluster(port, nodes, replicasPerMaster) {
  const info = `${await mustCommand(port, 'CLUSTER', 'INFO')}`
  const isOk = /cluster_state:ok/.test(info) && info.includes(`cluster_known_nodes:${nodes}\r`)
  const ranges = /** @type {Reply[][]} */ (await mustCommand(port, 'CLUSTER', 'SLOTS'))
  const known = ranges.reduce((sum, [from, to]) => sum + Number(to) - Number(from) + 1, 0)
  // A replica is listed once it has data: from then on a client can read from it.
  const isComplete = ranges.every((range) => range.length === 2 + 1 + replicasPerMaster)
  return isOk && known === slots && isComplete
}

/**
 * Sends one command on a connection of its own.
 * @param {number} port
 * @param {...(string | number)} args
 * @returns {Promise<Reply>} an error of the server is a reply; it rejects where there is none
 */
export function command(port, ...args) {
  return new Promise((resolve, reject) => {
    const name = `${args[0]} on port ${port}`
    const socket = connect(port, host, () => socket.write(encode(args)))
    const fail = (/** @type {string} */ why) => reject(new Error(`${name}: ${why}`))
    const timer = setTimeout(() => socket.destroy(new Error('no answer')), answerWithinMs)
    let received = Buffer.alloc(0)
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      const parsed = parse(received, 0)
      if (parsed === undefined) return
      resolve(parsed.value)
      socket.destroy()
    })
    socket.on('error', (error) => fail(error.message))
    socket.on('close', () => {
      clearTimeout(timer)
      fail('the connection closed')
    })
  })
}

/** Like command, but an error of the server rejects. @param {number} port @param {...string} args */
async function mustCommand(port, ...args) {
  const reply = await command(port, ...args)
  if (reply instanceof Error) throw reply
  return reply
}

/** @param {(string | number)[]} args */
function encode(args) {
  const parts = args.map((arg) => `$${Buffer.byteLength(`${arg}`)}\r\n${arg}\r\n`)
  return `*${args.length}\r\n${parts.join('')}`
}

/**
 * @param {Buffer} bytes @param {number} from
 * @returns {{ value: Reply, end: number } | undefined} nothing while the reply is incomplete
 */
function parse(bytes, from) {
  const lineEnd = bytes.indexOf('\r\n', from)
  if (lineEnd < 0) return undefined
  const line = bytes.toString('utf8', from + 1, lineEnd)
  const end = lineEnd + 2
  switch (String.fromCharCode(bytes[from])) {
    case '+':
      return { value: line, end }
    case '-':
      return { value: new Error(line), end }
    case ':':
      return { value: Number(line), end }
    case '$':
      return parseBulk(bytes, end, Number(line))
    case '*':
      return parseArray(bytes, end, Number(line))
    default:
      return { value: new Error(`not a reply of Redis: ${line}`), end }
  }
}

/** @param {Buffer} bytes @param {number} from @param {number} length */
function parseBulk(bytes, from, length) {
  if (length < 0) return { value: null, end: from }
  const end = from + length + 2
  if (bytes.length < end) return undefined
  return { value: bytes.toString('utf8', from, end - 2), end }
}

/** @param {Buffer} bytes @param {number} from @param {number} length */
function parseArray(bytes, from, length) {
  if (length < 0) return { value: null, end: from }
  /** @type {Reply[]} */
  const value = []
  let end = from
  while (value.length < length) {
    const item = parse(bytes, end)
    if (item === undefined) return undefined
    value.push(item.value)
    end = item.end
  }
  return { value, end }
}

/**
 * Runs the start of several servers. Where it fails, those that had started are ended.
 * @template T
 * @param {(fleet: { start: (options: RedisServerOptions) => Promise<RedisServer>, stop: () => Promise<void> }) => Promise<T>} work
 * @returns {Promise<T>}
 */
async function inFleet(work) {
  /** @type {Promise<RedisServer>[]} */
  const starts = []
  let isOver = false
  const start = async (/** @type {() => Promise<RedisServer>} */ begin) => {
    // Who tries again after another has failed would leave a server behind.
    if (isOver) throw new Error('its servers are being stopped')
    const started = begin().then((server) => ({
      ...server,
      restart: () => start(() => server.restart()),
    }))
    starts.push(started)
    return started
  }
  // A start may still be under way while another has failed.
  const stop = async () => {
    isOver = true
    for (const result of await Promise.allSettled(starts))
      if (result.status === 'fulfilled') await result.value.stop()
  }
  try {
    return await work({ start: (options) => start(() => startRedis(options)), stop })
  } catch (error) {
    await stop()
    throw error
  }
}

/**
 * Asks until the answer is truthy. An error counts as no; the last one is the cause where time runs out.
 * @template T
 * @param {string} what
 * @param {() => Promise<T | false | undefined>} ask
 * @returns {Promise<T>}
 */
async function until(what, ask) {
  const deadline = Date.now() + readyWithinMs
  let cause
  while (Date.now() < deadline) {
    try {
      const answer = await ask()
      if (answer) return answer
    } catch (error) {
      cause = error
    }
    await pause(20)
  }
  throw new Error(`Waited ${readyWithinMs} ms in vain until ${what}`, { cause })
}

/** @template T @param {T[]} items @param {(item: T) => Promise<boolean>} holds */
async function every(items, holds) {
  return (await Promise.all(items.map(holds))).every(Boolean)
}

/** @param {number} port @returns {Address} */
function addressOf(port) {
  return { host, port }
}
