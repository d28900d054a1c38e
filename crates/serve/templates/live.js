'use strict';
// Brings a page up to date when runs change. The server sends the number of each change; the page then requests itself again,
// and replaces its content. What the reader has chosen stays.
//
// This file is also the worker that all windows of a browser share, because a browser opens few connections to one server.
(() => {
  const RETRY = 5000;

  // Listens to the server, and passes on the number of the last change; undefined if the server does not answer.
  const listen = (tell) => {
    const source = new EventSource('/events');
    source.onmessage = (event) => tell(event.data);
    source.onerror = () => {
      tell(undefined);
      // The browser tries again by itself unless the server has refused.
      if (source.readyState === EventSource.CLOSED) setTimeout(() => listen(tell), RETRY);
    };
    return source;
  };

  if (typeof document === 'undefined') {
    const ports = [];
    let last;
    listen((change) => {
      last = { change };
      ports.forEach((port) => port.postMessage(last));
    });
    self.onconnect = ({ ports: [port] }) => {
      ports.push(port);
      if (last) port.postMessage(last);
    };
    return;
  }

  // The time without an action of the reader before the content is replaced, and the longest wait for it, in milliseconds.
  const QUIET = 1200;
  const LONGEST = 20000;

  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const pageScript = (inside) => all('script:not([src]):not([type])', inside)[0]?.textContent;
  let lastAction = 0;
  // When the content was last known to be up to date, and when it was replaced last.
  let lastAnswer = new Date();
  let lastChange;
  let isPressed = false;
  let isUpdating = false;
  let isOutdated = false;

  const say = (text, isLost) => {
    const status = document.getElementById('live-status');
    if (!status) return;
    status.textContent = text;
    status.classList.toggle('lost', Boolean(isLost));
  };
  const clock = (time) => time.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit' });
  const sayLive = () => {
    lastAnswer = new Date();
    say(lastChange ? `Live. Last change: ${clock(lastChange)}.` : 'Live.');
  };
  const sayLost = (problem) => say(`${problem} This is the state of ${clock(lastAnswer)}.`, true);

  for (const name of ['pointerdown', 'pointermove', 'pointerup', 'pointercancel', 'keydown', 'wheel', 'touchmove', 'change', 'input']) {
    addEventListener(name, (event) => {
      if (!event.isTrusted) return;
      lastAction = Date.now();
      if (name === 'pointerdown') isPressed = true;
      if (name === 'pointerup' || name === 'pointercancel') isPressed = false;
    }, { capture: true, passive: true });
  }

  const isBusy = () => isPressed || Date.now() - lastAction < QUIET || !getSelection().isCollapsed;
  const quiet = async () => {
    const latest = Date.now() + LONGEST;
    while (isBusy() && Date.now() < latest) await new Promise((done) => { setTimeout(done, 250); });
  };

  async function update() {
    isOutdated = true;
    if (isUpdating) return;
    isUpdating = true;
    try {
      while (isOutdated) {
        isOutdated = false;
        await quiet();
        const response = await fetch(location.href, { cache: 'no-store', headers: { 'If-None-Match': `"${document.body.dataset.state}"` } });
        if (response.status === 200) {
          replace(await response.text());
          lastChange = new Date();
          sayLive();
        } else if (response.status === 304) sayLive();
        else if (response.status === 404) sayLost('It is no longer there.');
        else sayLost(response.status === 401 ? 'The server has a new token: open its address again.' : 'The server cannot answer.');
      }
    } catch {
      sayLost('The server does not answer.');
    } finally {
      isUpdating = false;
    }
  }

  function replace(text) {
    const next = new DOMParser().parseFromString(text, 'text/html');
    const script = pageScript(next);
    // Another version of the server has another script, which the policy of this page forbids.
    if (script !== pageScript(document)) {
      location.reload();
      return;
    }
    const restore = remember();
    document.title = next.title;
    document.body.dataset.state = next.body.dataset.state;
    all('script:not([type])', next).forEach((element) => element.remove());
    document.body.replaceChildren(...next.body.children);
    document.body.append(Object.assign(document.createElement('script'), { textContent: script }));
    restore();
  }

  // What the reader has chosen; the result chooses it again in new content. Elements are found again by their section and their
  // names, so that what is no longer there is ignored.
  function remember() {
    const steps = [];
    const place = (element) => {
      const section = element.closest('section')?.id ?? '';
      const inside = section ? `#${section} ` : '';
      return (selector) => all(inside + selector);
    };
    const change = (element, name) => element.dispatchEvent(new Event(name, { bubbles: true }));

    for (const select of all('select')) {
      const find = place(select);
      const index = find('select').indexOf(select);
      const text = select.selectedOptions[0]?.textContent;
      steps.push(() => {
        const again = find('select')[index];
        const option = [...(again?.options ?? [])].find((one) => one.textContent === text);
        if (!option || option.selected) return;
        option.selected = true;
        change(again, 'change');
      });
    }
    for (const table of all('table.sortable')) {
      const again = () => document.getElementById(table.id);
      const box = table.closest('.table');
      const chosen = table.classList.contains('chosen');
      const columns = chosen ? all('.chooser label', box).map((label) => [label.textContent, label.querySelector('input').checked]) : [];
      const sorted = all('th[aria-sort]', table).map((head) => [head.textContent, head.getAttribute('aria-sort')])[0];
      steps.push(() => {
        const now = again();
        if (!now) return;
        const labels = all('.chooser label', now.closest('.table'));
        for (const [name, checked] of columns) {
          const input = labels.find((label) => label.textContent === name)?.querySelector('input');
          if (input && input.checked !== checked) {
            input.checked = checked;
            change(input, 'change');
          }
        }
        const head = sorted && all('thead th', now).find((one) => one.textContent === sorted[0]);
        for (let clicks = 0; head && head.getAttribute('aria-sort') !== sorted[1] && clicks < 2; clicks += 1) head.querySelector('button').click();
      });
    }
    for (const input of all('input[type=search]')) {
      const find = place(input);
      const index = find('input[type=search]').indexOf(input);
      const { value, selectionStart, selectionEnd } = input;
      const isFocused = document.activeElement === input;
      if (!value && !isFocused) continue;
      steps.push(() => {
        const again = find('input[type=search]')[index];
        if (!again) return;
        again.value = value;
        change(again, 'input');
        if (!isFocused) return;
        again.focus({ preventScroll: true });
        again.setSelectionRange(selectionStart, selectionEnd);
      });
    }
    for (const details of all('details')) {
      const find = place(details);
      const index = find('details').indexOf(details);
      const { open } = details;
      steps.push(() => {
        const again = find('details')[index];
        if (again) again.open = open;
      });
    }
    for (const section of all('section[id]')) {
      const off = new Set(all('.key.off', section).map((key) => key.textContent));
      if (!off.size) continue;
      steps.push(() => {
        for (const key of all(`#${section.id} .key.toggle`)) {
          if (off.has(key.textContent) && !key.classList.contains('off')) key.dispatchEvent(new MouseEvent('click'));
        }
      });
    }
    for (const box of all('.scroll, .pan')) {
      const { scrollLeft, scrollTop } = box;
      if (!scrollLeft && !scrollTop) continue;
      const find = place(box);
      const index = find('.scroll, .pan').indexOf(box);
      steps.push(() => find('.scroll, .pan')[index]?.scrollTo(scrollLeft, scrollTop));
    }
    // The section at the top of the window stays there, whatever grows above it.
    const top = (section) => section.getBoundingClientRect().top;
    const anchor = scrollY > 0 ? all('section[id]').filter((section) => top(section) < innerHeight / 3).pop() : undefined;
    const at = anchor && top(anchor);
    const before = scrollY;
    steps.push(() => {
      const again = anchor && document.getElementById(anchor.id);
      scrollTo({ top: again ? scrollY + top(again) - at : before, behavior: 'instant' });
    });
    return () => steps.forEach((step) => step());
  }

  const tell = (change) => {
    if (change === undefined) sayLost('The server does not answer.');
    else update();
  };
  // Without a shared worker, a hidden window does not listen, so that it takes no connection from the others.
  const listenAlone = () => {
    let source;
    const follow = () => {
      source?.close();
      source = document.hidden ? undefined : listen(tell);
    };
    document.addEventListener('visibilitychange', follow);
    follow();
  };
  sayLive();
  if (typeof SharedWorker === 'undefined') listenAlone();
  else {
    const worker = new SharedWorker('/live.js');
    worker.onerror = listenAlone;
    worker.port.onmessage = ({ data }) => tell(data.change);
  }
})();
