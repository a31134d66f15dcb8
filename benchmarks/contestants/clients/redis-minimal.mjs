import { once } from 'node:events'
import { connect } from 'node:net'
import { hourMs } from '../../lib/workloads/dataset.mjs'

/**
 * Not a usable client: the minimum that a cache with JSON on Redis does in Node, with one promise per call. The calls of
 * a turn of the event loop are sent in one write, the `get`s as one MGET. All values are ASCII, and all reads are hits;
 * errors and timeouts are not handled. It shows how much time is left for a client to spend.
 */
export async function redis({ url }) {
  const { hostname, port, pathname } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), noDelay: true })
  await once(socket, 'connect')
  socket.write(`SELECT ${pathname.slice(1) || 0}\r\n`)
  await once(socket, 'data')
  const pending = new PendingReplies(socket)
  const expiry = `$2\r\nPX\r\n${bulk(String(hourMs))}`
  const get = (key) => pending.addGet(bulk(key)).then(JSON.parse)
  return {
    get,
    set: (key, value) =>
      pending.addCommand(`*5\r\n$3\r\nSET\r\n${bulk(key)}${bulk(JSON.stringify(value))}${expiry}`),
    async getMany(keys) {
      // One promise for all: the reply to the last key arrives last.
      const texts = new Array(keys.length)
      await new Promise((resolve) => pending.addGets(keys.map(bulk), texts, resolve))
      return texts.map((text) => JSON.parse(text))
    },
    remember: get,
    async close() {
      socket.destroy()
    },
  }
}

function bulk(text) {
  return `$${text.length}\r\n${text}\r\n`
}

class PendingReplies {
  #socket
  #commands = ''
  #commandReplies = []
  #gets = ''
  #getReplies = []
  /** Functions that receive the replies, in order. */
  #expected = []
  #next = 0
  #rest = ''
  #isScheduled = false

  constructor(socket) {
    this.#socket = socket
    socket.on('data', (chunk) => this.#receive(this.#rest + chunk.toString('latin1')))
  }

  addCommand(command) {
    this.#schedule()
    this.#commands += command
    return new Promise((resolve) => this.#commandReplies.push(resolve))
  }

  addGet(key) {
    this.#schedule()
    this.#gets += key
    return new Promise((resolve) => this.#getReplies.push(resolve))
  }

  addGets(keys, texts, resolve) {
    this.#schedule()
    for (const [index, key] of keys.entries()) {
      this.#gets += key
      this.#getReplies.push((text) => {
        texts[index] = text
        if (index === keys.length - 1) resolve()
      })
    }
  }

  /** Callers that receive replies make their next calls in the same turn. */
  #schedule() {
    if (this.#isScheduled) return
    this.#isScheduled = true
    const isBusy = this.#next < this.#expected.length
    if (isBusy) setImmediate(() => this.#flush())
    else process.nextTick(() => this.#flush())
  }

  #flush() {
    this.#isScheduled = false
    const gets = this.#getReplies
    const mget = gets.length === 0 ? '' : `*${gets.length + 1}\r\n$4\r\nMGET\r\n${this.#gets}`
    this.#expected = this.#expected.slice(this.#next).concat(this.#commandReplies, gets)
    this.#next = 0
    this.#socket.write(this.#commands + mget, 'latin1')
    this.#commands = ''
    this.#commandReplies = []
    this.#gets = ''
    this.#getReplies = []
  }

  /** Reads `+OK`, the header of an array, which needs no reply, and the length and the text of a value. */
  #receive(text) {
    let start = 0
    for (let end = text.indexOf('\r', start); end >= 0; end = text.indexOf('\r', start)) {
      const type = text[start]
      if (type === '$') {
        const from = end + 2
        const length = Number(text.slice(start + 1, end))
        if (from + length + 2 > text.length) break
        this.#expected[this.#next++](text.slice(from, from + length))
        start = from + length + 2
        continue
      }
      if (end + 2 > text.length) break
      if (type === '+') this.#expected[this.#next++]()
      start = end + 2
    }
    this.#rest = text.slice(start)
  }
}
