import type { Lookup, Outcome } from '../lookup.ts'
import type { Catalogue, Product } from '../products.ts'
import { price, span, timing } from './format.ts'
import { type Html, html } from './html.ts'
import { icon } from './icons.ts'

export interface ProductListView {
  readonly lookup: Lookup<Catalogue>
  readonly driver: string
  /** How long the list may live in the cache, in words. */
  readonly kept: string
  readonly lastLoadMs: number | undefined
  readonly editable: boolean
  readonly notice: Html | undefined
}

const outcomes: Readonly<Record<Outcome, { readonly badge: string; readonly meaning: string }>> = {
  hit: { badge: 'hit', meaning: 'The list was in the cache. The database was not asked.' },
  miss: { badge: 'miss', meaning: 'The list was not in the cache. The slow database made it.' },
  shared: {
    badge: 'shared load',
    meaning: 'Somebody was loading the list already. You waited for the same answer.',
  },
  unavailable: {
    badge: 'store unavailable, computed',
    meaning: 'The cache does not answer. The slow database made the list.',
  },
}

export function productList(view: ProductListView): Html {
  const { products } = view.lookup.value
  return html`${view.notice}
  <header class="page-head">
    <h1>Provisions for a long passage</h1>
    <p class="lede">Stores that keep, packed to travel. The list comes from a slow database, and from
      a cache that makes you forget it.</p>
  </header>
  ${answer(view)}
  <h2 class="visually-hidden">Products</h2>
  <ul class="products">${products.map((product) => card(product, view.editable))}</ul>
  ${
    !view.editable &&
    html`<p class="aside"><a href="/sign-in">Sign in</a> to change a name or a
    price, and see the cached list give way.</p>`
  }`
}

function answer({ lookup, driver, kept, lastLoadMs }: ProductListView): Html {
  const { badge, meaning } = outcomes[lookup.outcome]
  const stored = lookup.outcome === 'unavailable' ? 'not kept' : `kept for ${kept}`
  return html`<section class="panel answer" aria-labelledby="answer-title">
    <div class="answer-top">
      <div>
        <h2 id="answer-title" class="eyebrow">How this list was answered</h2>
        <p class="answer-line">
          <span class="badge badge-${lookup.outcome}" data-outcome="${lookup.outcome}">${badge}</span>
          <span>${meaning}</span>
        </p>
      </div>
      <form action="/" method="get"><button class="button" type="submit">Reload the list</button></form>
    </div>
    <dl class="facts">
      ${fact('This answer', timing(lookup.durationMs))}
      ${fact('Last database load', lastLoadMs === undefined ? 'none yet' : timing(lastLoadMs))}
      ${fact('Cache driver', driver)}
      ${fact('Loaded', html`${loaded(lookup.value)} <small>${stored}</small>`)}
    </dl>
  </section>`
}

function loaded({ loadedAt }: Catalogue): string {
  const age = Date.now() - loadedAt
  return age < 1000 ? 'just now' : `${span(age)} ago`
}

function fact(term: string, value: Html | string): Html {
  return html`<div><dt>${term}</dt><dd>${value}</dd></div>`
}

function card(product: Product, editable: boolean): Html {
  return html`<li class="product">
    <div class="product-art">${icon(product.id)}</div>
    <div class="product-text">
      <h3>${product.name}</h3>
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
