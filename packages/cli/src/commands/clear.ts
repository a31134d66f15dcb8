import type { Cache } from '@stowage/core'
import { canListKeys, deleteWithPrefix } from '@stowage/core/internal'
import { Context, type SourceOptions } from '../configuration/context.ts'
import { CommandError, UsageError } from '../errors.ts'
import type { Output } from '../output/io.ts'
import { printable } from '../output/printable.ts'
import { confirmed, type ShowProgress, withProgress } from '../output/prompts.ts'

export interface ClearOptions extends SourceOptions {
  readonly json?: boolean
  readonly yes?: boolean
  readonly store?: string
  readonly prefix?: string
  readonly tag?: readonly string[]
}

interface Job {
  readonly action: string
  /** Resolves to the number of deleted entries; `null` if that is not known. */
  readonly run: (show: ShowProgress) => Promise<number | null>
  /** Says what was done, as the beginning of a sentence. */
  readonly outcome: (deleted: number | null) => string
  /** The namespace that is cleared in place of a prefix. */
  readonly namespace?: string
}

/** Returns the exit code: 1 if the question was denied. */
export async function clear(options: ClearOptions, output: Output): Promise<number> {
  const { store, prefix, tag, json = false, yes = false } = options
  if (store === undefined && prefix === undefined && tag === undefined) {
    throw new UsageError('Say what to clear: --prefix, --tag or --store.')
  }
  if (prefix !== undefined && tag !== undefined) {
    throw new UsageError('--prefix and --tag cannot be combined.')
  }
  if (prefix === '') {
    throw new UsageError('The prefix is empty. To delete all entries, use --store alone.')
  }
  return Context.use(options, output, async (context) => {
    context.assertValid()
    const cache = context.sharedCache(store)
    const job = jobOf(cache, options)
    if (!(await confirmed(output, job.action, yes))) return 1
    const deleted = await withProgress(output, json, 'Clearing', job.run)
    report(cache, options, job, deleted, output)
    return 0
  })
}

function jobOf(cache: Cache, { prefix, tag }: ClearOptions): Job {
  if (tag !== undefined) return tagJob(cache, tag)
  if (prefix === undefined) return storeJob(cache)
  return canListKeys(cache) ? prefixJob(cache, prefix) : namespaceJob(cache, prefix)
}

function tagJob(cache: Cache, tags: readonly string[]): Job {
  return {
    action: `Invalidate ${tags.map((each) => `"${each}"`).join(', ')} in ${placeOf(cache)}`,
    run: async () => {
      await cache.invalidateTags([...tags])
      return null
    },
    outcome: () => `Invalidated ${tags.join(', ')} in ${cache.name}`,
  }
}

function storeJob(cache: Cache): Job {
  const consequence = cache.name === 'session' ? ', and sign out all users' : ''
  return {
    action: `Delete all entries of ${placeOf(cache)}${consequence}`,
    run: async () => {
      await cache.clear()
      return null
    },
    outcome: () => `Deleted all entries in ${cache.name}`,
  }
}

function prefixJob(cache: Cache, prefix: string): Job {
  return {
    action: `Delete the entries of ${placeOf(cache)} whose keys begin with "${prefix}"`,
    run: (show) =>
      deleteWithPrefix(cache, prefix, (deleted) => show(`Deleted ${entries(deleted)}`)),
    outcome: (deleted) =>
      `Deleted ${entries(deleted ?? 0)} with the prefix ${prefix} in ${cache.name}`,
  }
}

function namespaceJob(cache: Cache, prefix: string): Job {
  const names = prefix.split(':')
  if (names.pop() !== '' || names.includes('')) {
    throw new CommandError(
      `${cache.driver} cannot list its keys. Only a namespace can be cleared: a prefix that ends with a colon.`,
    )
  }
  const namespace = names.join(':')
  return {
    namespace,
    action: `Clear the namespace "${namespace}" of ${placeOf(cache)}, which cannot list its keys`,
    run: async () => {
      await names.reduce((inner, name) => inner.namespace(name), cache).clear()
      return null
    },
    outcome: () =>
      `Cleared the namespace ${namespace} in ${cache.name}. Keys ${prefix}… that were set without the namespace are kept`,
  }
}

function placeOf({ name, driver }: Cache): string {
  return `${name} (${driver})`
}

function report(
  { name: store, driver }: Cache,
  { prefix, tag, json }: ClearOptions,
  { namespace, outcome }: Job,
  deleted: number | null,
  output: Output,
): void {
  if (json) {
    const selection = { prefix: prefix ?? null, namespace: namespace ?? null, tags: tag ?? null }
    output.json({ command: 'clear', store, driver, ...selection, deleted })
  } else output.line(`${output.colors.green('✓')} ${printable(outcome(deleted))}.`)
}

function entries(count: number): string {
  return count === 1 ? '1 entry' : `${count} entries`
}
