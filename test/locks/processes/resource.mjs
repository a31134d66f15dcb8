import { once } from 'node:events'
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'

/**
 * A resource that is used under a lock. It refuses what has a lower fencing number than it has seen, and records what went
 * wrong: which holders it has refused, and which had not left when another one entered.
 */
export class Resource {
  /** @type {{ pid: number, number: number }[]} in the order in which they entered */
  entries = []
  /** @type {number[]} the numbers of the holders whose messages were refused */
  refused = []
  /** @type {number[]} the numbers of the holders that had not left when another one entered */
  overtaken = []
  /** @type {number | undefined} the process that is inside */
  inside
  /** The highest number of slots in use at the same time. */
  mostSlots = 0
  #slots = 0
  #highest = 0
  #useAllSlots = () => {}
  /** @type {Promise<void>} */
  #allSlotsUsed = new Promise((resolve) => {
    this.#useAllSlots = resolve
  })
  #server = createServer((socket) => {
    const lines = createInterface({ input: socket })
    // A process that was killed resets its connection, which the interface reports as well.
    for (const emitter of [socket, lines]) emitter.on('error', () => {})
    lines.on('line', async (line) => {
      await this.#receive(JSON.parse(line))
      socket.write('done\n')
    })
  })

  static async start() {
    const resource = new Resource()
    resource.#server.listen(0, '127.0.0.1')
    await once(resource.#server, 'listening')
    return resource
  }

  get port() {
    return /** @type {import('node:net').AddressInfo} */ (this.#server.address()).port
  }

  stop() {
    this.#server.close()
  }

  /** @param {{ action: string, pid: number, number: number, limit: number }} message */
  #receive({ action, pid, number, limit }) {
    if (action === 'enter slot') return this.#enterSlot(limit)
    if (action === 'leave slot') this.#slots--
    else if (action === 'enter') this.#enter(pid, number)
    else if (number < this.#highest) this.refused.push(number)
    else if (action === 'leave') this.inside = undefined
  }

  /** Nobody goes on before all slots have been in use once, however slow the processes are. @param {number} limit */
  #enterSlot(limit) {
    this.mostSlots = Math.max(this.mostSlots, ++this.#slots)
    if (this.mostSlots >= limit) this.#useAllSlots()
    return this.#allSlotsUsed
  }

  /** @param {number} pid @param {number} number */
  #enter(pid, number) {
    if (number <= this.#highest) {
      this.refused.push(number)
      return
    }
    if (this.inside !== undefined) this.overtaken.push(this.#highest)
    this.#highest = number
    this.inside = pid
    this.entries.push({ pid, number })
  }
}
