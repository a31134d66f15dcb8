import { describe, expect, test } from 'vitest'
import { instrument } from '../scripts/lib/trace/instrument.mjs'
import { firstCalls, record } from '../scripts/lib/trace/recorder.mjs'

interface Call {
  readonly name: string
  readonly file: string
  readonly depth: number
}

/** The calls of a bundle whose function `start` is called, as indented names. */
async function trace(code: string): Promise<string[]> {
  const start = new Function(`${instrument(code)}\nreturn start`)() as () => unknown
  const calls: Call[] = firstCalls(await record(() => start()))
  return calls.map(({ name, depth }) => `${'  '.repeat(depth)}${name}`)
}

describe('the way of a call', () => {
  test('contains each function once, below the one that has called it first', async () => {
    const code = `// packages/core/src/one.ts
      const twice = (value) => value * 2
      var Parent = class { #n = 1; get n() { return this.#n } set n(n) { this.#n = n } }
      class Child extends Parent {
        constructor() { super(); this.n = twice(2) }
        async read() { await undefined; return this.#last() }
        #last() { return twice(this.n) }
        last = () => {}
      }
      function start() {
        const child = new Child()
        child.last()
        return child.read().then(() => twice(1))
      }`
    expect(await trace(code)).toEqual([
      'start',
      ...['  Child.constructor', '    twice', '    Parent.set n'],
      '  Child.last',
      ...['  Child.read', '    Child.#last', '      Parent.get n'],
      '  start →',
    ])
  })

  test('leaves functions as they are otherwise', () => {
    const code = `// packages/core/src/one.ts
      function* numbers() { yield 1 }
      function sum() { return [...arguments].reduce((a, b) => a + b, 0) }
      function start() { return { list: [...numbers()], sum: sum(1, 2), empty: (() => {})() } }`
    const start = new Function(`${instrument(code)}\nreturn start`)() as () => unknown
    expect(start()).toEqual({ list: [1], sum: 3, empty: undefined })
  })

  test('contains the file of each function', async () => {
    const [one, two] = ['packages/core/src/one.ts', 'packages/core/src/two.ts']
    const code = [`// ${one}`, 'const inner = () => 1', `// ${two}`, 'const start = () => inner()']
    const start = new Function(`${instrument(code.join('\n'))}\nreturn start`)() as () => unknown
    const calls: Call[] = firstCalls(await record(() => start()))
    expect(calls.map(({ file }) => file)).toEqual([two, one])
  })
})
