package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
)

// scenario is a question that clients ask.
type scenario struct {
	name  string
	cloud string
	// params are those of Alibaba's call, for a catalogue.
	params func(f fixture) url.Values
	// want is how many upgrades an answer lists.
	want func(f fixture) int
}

const (
	aliyunCloud = "aliyun"
	huaweiCloud = "huawei"
	pageSize    = 30 // the vendor's default
	askedTarget = 17
)

func lastPage(f fixture) int { return (f.length(0) + pageSize - 1) / pageSize }

func scenarios() []scenario {
	page := func(number int) url.Values {
		return url.Values{"PageSize": {strconv.Itoa(pageSize)}, "PageNumber": {strconv.Itoa(number)}}
	}
	return []scenario{
		{
			"page 1", aliyunCloud, func(fixture) url.Values { return page(1) },
			func(f fixture) int { return min(pageSize, f.length(0)) },
		},
		{
			"last page", aliyunCloud, func(f fixture) url.Values { return page(lastPage(f)) },
			func(f fixture) int { return f.length(0) - (lastPage(f)-1)*pageSize },
		},
		{
			"by version", aliyunCloud, func(fixture) url.Values {
				asked := page(1)
				asked.Set("TargetMajorVersion", fmt.Sprintf("%d.0", askedTarget))
				return asked
			},
			func(f fixture) int { return min(pageSize, (f.length(0)+1)/5) },
		},
		{"status", huaweiCloud, nil, nil},
	}
}

// maker returns what writes the scenario's requests for one connection. Salted requests are all
// different, so that no answer can be remembered: they carry a parameter that means nothing.
func (s scenario) maker(p peer, f fixture, salted bool) maker {
	if s.cloud == huaweiCloud {
		return newHuaweiMaker(p)
	}
	params := s.params(f)
	if salted {
		params.Set("Salt", saltHole)
	}
	return newAliyunMaker(p, params)
}

// check asks once and looks whether the answer is what it should be.
func (s scenario) check(p peer, f fixture, instance int) (answer []byte, err error) {
	c, err := dial(p.Address, s.maker(p, f, false))
	if err != nil {
		return nil, err
	}
	defer c.conn.Close()
	var body bytes.Buffer
	if err := c.ask(instance, &body); err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	if s.cloud == huaweiCloud {
		var status struct{ Status, Detail string }
		if err := json.Unmarshal(body.Bytes(), &status); err != nil || status.Status == "" || len(status.Detail) < 500 {
			return nil, fmt.Errorf("%s: unexpected answer: %s", s.name, body.Bytes())
		}
		return body.Bytes(), nil
	}
	var list struct {
		TotalRecordCount int
		Items            []struct {
			TaskID int `json:"TaskId"`
			Detail string
		}
	}
	if err := json.Unmarshal(body.Bytes(), &list); err != nil || len(list.Items) != s.want(f) || len(list.Items[0].Detail) < 500 {
		return nil, fmt.Errorf("%s: unexpected answer, %d of %d upgrades, not %d: %.500s", s.name, len(list.Items), list.TotalRecordCount, s.want(f), body.Bytes())
	}
	return body.Bytes(), nil
}

// distribution says which instances are asked about.
type distribution struct {
	name   string
	polled int // of the instances that have tasks, the first ones
}

func distributions() []distribution {
	return []distribution{{"hot", 100}, {"uniform", instances}}
}

// among is how many instances that are in a catalogue.
func (d distribution) among(f fixture) int { return min(d.polled, f.active) }
