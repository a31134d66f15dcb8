/**
 * Mutants that no test can notice, because they change nothing that the documentation promises.
 * `after` is the code before the mutant, in one line.
 * @type {{ file: string, operator: string, after?: string, from: string, to?: string, reason: string }[]}
 */
export const equivalents = [
  {
    file: 'leases/claim.ts',
    operator: 'boolean',
    from: 'false',
    after: 'noClaim = { canBeLost: false, replacesStale: ',
    reason: 'A load without a claim has nothing to delete, and marks nothing.',
  },
  {
    file: 'leases/claim.ts',
    operator: 'boolean',
    after: ' replace: async () => ',
    from: 'false',
    reason: 'Never called: what is loaded without a claim is not stored.',
  },
  {
    file: 'leases/lease-wait.ts',
    operator: '>',
    from: 'waited > timeoutMs',
    reason: 'No wait is exactly as long as its timeout.',
  },
  {
    file: 'leases/hit-for-miss.ts',
    operator: '??',
    from: 'this.#until.get(key)',
    reason: 'Nothing is less than `undefined`.',
  },
  {
    file: 'limits/bucket-limit.ts',
    operator: '??',
    from: 'textOf',
    reason: '`exec` makes a text of `undefined` that does not match.',
  },
  {
    file: 'limits/bucket-limit.ts',
    operator: '<=',
    from: 'missing + cost <= this.capacity',
    reason: 'No sum is exactly the limit and the tolerance.',
  },
  {
    file: 'limits/window-limit.ts',
    operator: '<=',
    from: 'before + current + cost <= this.capacity',
    reason: 'No sum is exactly the limit and the tolerance.',
  },
  {
    file: 'limits/window-limit.ts',
    operator: '>=',
    from: 'free >= 0',
    reason: 'If the units of this window use the limit, both are the time until the next one.',
  },
  {
    file: 'limits/window-limit.ts',
    operator: 'condition',
    after: 'previousKey: ',
    from: 'this.#isSliding',
    to: 'true',
    reason: 'A fixed window does not use that key. The condition saves making it.',
  },
  {
    file: 'limits/named-rate-limiter.ts',
    operator: 'condition',
    from: 'channels.limit.hasSubscribers',
    to: 'true',
    reason:
      'A channel without subscribers does nothing with an event. The condition saves creating it.',
  },
  {
    file: 'limits/limit-calls.ts',
    operator: 'boolean',
    from: 'true',
    reason: 'Only the names of the options are read.',
  },
  {
    file: 'locks/fences.ts',
    operator: '>',
    from: 'waitMs > 0',
    reason:
      'Each number is later than that. The condition prevents a warning of Node if clocks go back.',
  },
  {
    file: 'locks/fences.ts',
    operator: 'condition',
    from: 'waitMs > 0',
    to: 'true',
    reason:
      'Each number is later than that. The condition prevents a warning of Node if clocks go back.',
  },
  {
    file: 'locks/fences.ts',
    operator: '<',
    from: 'current < usualMinimum',
    reason: 'No counter contains exactly that number.',
  },
  {
    file: 'locks/tenure.ts',
    operator: 'condition',
    from: 'isHeld',
    to: 'true',
    reason: 'A lost lock is given up, until whenever it would be safe.',
  },
  {
    file: 'locks/lock-item.ts',
    operator: '??',
    from: 'textOf',
    reason: '`exec` makes a text of `undefined` that does not match.',
  },
  {
    file: 'locks/lock-context.ts',
    operator: 'condition',
    from: '!channels.lock.hasSubscribers',
    to: 'false',
    reason:
      'A channel without subscribers does nothing with an event. The condition saves creating it.',
  },
  {
    file: 'locks/lock-calls.ts',
    operator: 'boolean',
    from: 'true',
    reason: 'Only the names of the options are read.',
  },
  {
    file: 'tags/tag-versions.ts',
    operator: '??',
    from: 'this.#touchedAt.get(tag)',
    reason: '`NaN` is not less than the pause between two touches.',
  },
]
