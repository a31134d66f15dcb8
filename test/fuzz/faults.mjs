import { setTimeout as sleep } from 'node:timers/promises'
import { random } from './random.mjs'

/**
 * Injects one random fault after the other.
 * @param {import('@stowage/test-servers').FaultProxy} proxy
 * @param {import('@stowage/test-servers').ServerProcess} server
 * @param {number} ms
 * @param {readonly (() => unknown)[]} further faults of this kind of server
 * @returns {Promise<number>} the number of faults
 */
export async function injectFaults(proxy, server, ms, further) {
  const faults = [...faultsOf(proxy, server), ...further]
  const end = performance.now() + ms
  let count = 0
  for (; performance.now() < end; count++) {
    await sleep(20 + random(100))
    await faults[random(faults.length)]()
  }
  return count
}

/**
 * @param {import('@stowage/test-servers').FaultProxy} proxy
 * @param {import('@stowage/test-servers').ServerProcess} server
 * @returns {(() => unknown)[]}
 */
function faultsOf(proxy, server) {
  return [
    () => proxy.cut(),
    // Not awaited: the cut happens with a later reply.
    () => void proxy.cutReplies({ after: random(5_000) }),
    () => void proxy.cutReplies(),
    () => during(300, (on) => proxy.mute(on)),
    () => during(200, (on) => proxy.mute(on, 'replies')),
    () => during(200, (on) => proxy.delay(on ? 20 : 0)),
    () => during(100, (on) => refuse(proxy, on)),
    () => during(300, (on) => server.kill(on ? 'SIGSTOP' : 'SIGCONT')),
  ]
}

/** @param {import('@stowage/test-servers').FaultProxy} proxy @param {boolean} on */
function refuse(proxy, on) {
  proxy.refuse(on)
  if (on) proxy.cut()
}

/** @param {number} ms @param {(on: boolean) => void} fault */
async function during(ms, fault) {
  fault(true)
  await sleep(ms)
  fault(false)
}
