import { scenarios } from '@stowage/scenarios'
import type { Scenario } from '@stowage/testing/simulation'
import type { PlantedFault } from './planted-fault.ts'

const locks = scenarios.locks as Scenario
const limits = scenarios.limits as Scenario

/** Defects of locks and limits that their scenarios must notice. */
export const lockFaults: readonly PlantedFault[] = [
  {
    name: 'a lock is released without comparing its item',
    scenario: locks,
    changes: [
      [
        'index.js',
        'return this.#store.compareAndSet(this.#key, this.#item, void 0);',
        'return this.#store.delete(this.#key);',
      ],
    ],
  },
  {
    name: 'a lock is renewed by touch, which extends the lock of another holder',
    scenario: locks,
    changes: [
      [
        'index.js',
        'this.#store.compareAndSet(this.#key, this.#item, this.#item, ttl);',
        'this.#store.touch(this.#key, ttl);',
      ],
    ],
  },
  {
    name: 'the ttl of a lock is measured from the reply instead of the sending',
    scenario: locks,
    firstSeed: 3_000,
    changes: [
      [
        'index.js',
        'this.#safeUntil = sentAt + this.facts.ttl * safeShare;',
        'this.#safeUntil = performance.now() + this.facts.ttl * safeShare;',
      ],
      [
        'index.js',
        'this.#safeUntil = sentAt + ttl * safeShare;',
        'this.#safeUntil = performance.now() + ttl * safeShare;',
      ],
    ],
  },
  {
    name: 'the signal of a holder aborts only when a renewal finds the lock lost',
    scenario: locks,
    changes: [['index.js', 'after(Math.max(0, safeMs), () => this.#lose());', '() => {};']],
  },
  {
    name: 'a fencing number is not confirmed by the lock',
    scenario: locks,
    changes: [
      ['index.js', 'if (this.#isLost || !await this.#tenure.renew()) throw this.#lostError();', ''],
    ],
  },
  {
    name: 'a fencing counter that was lost begins at 1',
    scenario: locks,
    changes: [['index.js', 'first > this.#oldest(now) ? first', 'first > 0 ? first']],
  },
  {
    name: 'a fencing counter that lost its last numbers repeats them',
    scenario: locks,
    changes: [['index.js', 'first > this.#oldest(now) ? first', 'first > usualMinimum ? first']],
  },
  {
    name: 'clear deletes locks',
    scenario: locks,
    changes: [['index.js', '~$'.concat('{kind}:'), 'x~$'.concat('{kind}:')]],
  },
  {
    name: 'calls that wait are not woken, and the next in the queue never polls',
    scenario: locks,
    changes: [
      ['index.js', 'queue[0]?.becomeFirst();', '{}'],
      ['index.js', 'this.#waitingRoom.wake(key);', ''],
    ],
  },
  {
    name: 'windows follow the clock of the process',
    scenario: limits,
    changes: [
      [
        'index.js',
        'const reading = this.#offset === void 0 || isOutdated',
        'if (isOutdated !== 0) return Math.floor(this.#processClock.now());\n\t\tconst reading = this.#offset === void 0 || isOutdated',
      ],
    ],
  },
  {
    name: 'a counter expires with its window, although requests are on their way',
    scenario: limits,
    changes: [['index.js', 'const maxInFlightMs = 1e4;', 'const maxInFlightMs = 0;']],
    firstSeed: 9_400,
  },
  {
    name: 'a window is counted by a read and a write',
    scenario: limits,
    changes: [
      [
        'index.js',
        'const counting = this.#at.store.increment(window.key, cost, window.ttl);',
        'const counting = this.#read(window.key).then(async (count) => (await this.#at.store.set(window.key, String(count + cost), window.ttl), count + cost));',
      ],
    ],
  },
  {
    name: 'a sliding window forgets the one before',
    scenario: limits,
    changes: [['index.js', 'this.#read(window.previousKey)]', '0]']],
  },
  {
    name: 'a bucket is written without comparing what was read',
    scenario: limits,
    changes: [
      [
        'index.js',
        'return await replaceSeen(store, key, item, toTextItem(',
        'return await ((at, name, _, ...next) => at.set(name, ...next).then(() => true))(store, key, item, toTextItem(',
      ],
    ],
  },
  {
    name: 'a failure of the store is thrown although the application has decided',
    scenario: limits,
    changes: [['index.js', 'if (onError === "throw" || !isOutage) return', 'return']],
  },
]
