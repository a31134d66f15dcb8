import { type Html, html } from '@stowage/example-shared'
import type { Catalogue, Product } from '../products.ts'
import type { Lookup, Outcome } from '../telemetry/lookup.ts'
import { duration, price, timing } from './components/format.ts'
import { icon } from './components/icons.ts'

export interface ProductListView {
  readonly lookup: Lookup<Catalogue>
  readonly driver: string
  /** The ttl of the list, in words. */
  readonly ttl: string
  readonly editable: boolean
  readonly notice: Html | undefined
}

interface OutcomeView {
  readonly badge: string
  readonly text: string
  readonly explanation: string
}

const outcomes: Readonly<Record<Outcome, OutcomeView>> = {
  hit: {
    badge: 'good',
    text: 'hit',
    explanation: 'The list was in the cache. The database was not queried.',
  },
  miss: {
    badge: 'warning',
    text: 'miss',
    explanation: 'The list was not in the cache. It was loaded from the slow database.',
  },
  shared: {
    badge: 'info',
    text: 'shared load',
    explanation:
      'Another request was already loading the list. This request waited for the result.',
  },
  unavailable: {
    badge: 'error',
    text: 'store unavailable',
    explanation: 'The cache is unavailable. The list was loaded from the slow database.',
  },
}

export function productList(view: ProductListView): Html {
  const { products } = view.lookup.value
  return html`${view.notice}
  <header class="page-head">
    <h1>Provisions for a long passage</h1>
    <p class="lede">The list comes from a slow database. It is cached for ${view.ttl}, so that only
      the first request waits for it.</p>
  </header>
  ${lookupPanel(view)}
  <h2 class="visually-hidden">Products</h2>
  <ul class="products">${products.map((product) => card(product, view.editable))}</ul>
  ${
    !view.editable &&
    html`<p class="aside"><a href="/sign-in">Sign in</a> to edit a product. Saving
    deletes the cached list.</p>`
  }`
}

function lookupPanel({ lookup, driver, ttl }: ProductListView): Html {
  const { badge, text, explanation } = outcomes[lookup.outcome]
  const stored = lookup.outcome === 'unavailable' ? 'not cached' : `ttl ${ttl}`
  return html`<section class="panel lookup" aria-labelledby="lookup-title">
    <div class="lookup-top">
      <div>
        <h2 id="lookup-title" class="eyebrow">Where this list came from</h2>
        <p class="lookup-line">
          <span class="badge badge-${badge}" data-outcome="${lookup.outcome}">${text}</span>
          <span>${explanation}</span>
        </p>
      </div>
      <form action="/" method="get"><button class="button" type="submit">Reload the list</button></form>
    </div>
    <dl class="facts">
      ${fact('Lookup time', timing(lookup.durationMs))}
      ${fact('Database query', timing(lookup.value.queryMs))}
      ${fact('Cache driver', driver)}
      ${fact('Loaded', html`${loaded(lookup.value)} <small>${stored}</small>`)}
    </dl>
  </section>`
}

function loaded({ loadedAt }: Catalogue): string {
  const age = Date.now() - loadedAt
  return age < 1000 ? 'just now' : `${duration(age)} ago`
}

function fact(term: string, value: Html | string): Html {
  return html`<div><dt>${term}</dt><dd>${value}</dd></div>`
}

function card(product: Product, editable: boolean): Html {
  return html`<li class="product">
    <div class="product-art">${icon(product.id)}</div>
    <div class="product-text">
      <h3><a href="/products/${product.id}">${product.name}</a></h3>
      <p class="product-detail">${product.detail}</p>
      <p class="product-foot">
        <span class="price">${price(product.priceCents)}</span>
        ${
          editable &&
          html`<a class="edit" href="/products/${product.id}/edit">Edit<span
          class="visually-hidden"> ${product.name}</span></a>`
        }
      </p>
    </div>
  </li>`
}
