import { AppProcess, type HttpResponse, type Variables } from '@stowage/example-shared/testing'

const main = new URL('../dist/main.js', import.meta.url)

/** Starts the shop in a separate process. */
export function startShop(variables: Variables): AppProcess {
  return new AppProcess(main, variables)
}

/** The outcome of the lookup (`hit`, `miss`, …), as the product list shows it. */
export function outcomeOf({ text }: HttpResponse): string | undefined {
  return /data-outcome="(\w+)"/.exec(text)?.[1]
}
